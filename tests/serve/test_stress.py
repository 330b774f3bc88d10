"""The load: arrivals as the theory has them, nothing hidden by waiting, what went wrong counted, figures by hand."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from scipy.stats import kstest, poisson
from stubs import Stub
from typer.testing import CliRunner

from tranh import cli
from tranh.engine.doors import Doors
from tranh.engine.jobs import Engine
from tranh.serve.app import create_app
from tranh.serve.ask import Address
from tranh.serve.desk import Desk
from tranh.serve.stress import Load, Outcome, Shot, run
from tranh.serve.stress_apis import Target
from tranh.serve.stress_plan import Kind, Planned, arrivals, mix_of, plan, scenes
from tranh.serve.stress_report import as_json, as_text, figures, flight, following, percentile, percentile_interval
from tranh.types import TranhError

FOUR, LONG = Kind(4, 0.5), Kind(25, 0.5)


@contextmanager
def listening(app: Any) -> Iterator[Address]:
    """A real server in a thread."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([taken],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield Address("127.0.0.1", taken.getsockname()[1])
        server.should_exit = True
        thread.join(10)


def numbered(dues: list[float], kind: Kind = FOUR) -> list[Planned]:
    return [Planned(k, due, kind, f"a picture of {k}", k) for k, due in enumerate(dues)]


def shot_at(target: Target, planned: list[Planned], **how: Any) -> Load:
    *_, last = run(target, planned, rate=1.0, seconds=10.0, **how)
    load: Load = last.result
    return load


def test_arrivals_are_poisson() -> None:
    times = np.array(arrivals(40, 250, seed=3))
    assert kstest(np.diff(times), "expon", args=(0, 1 / 40)).pvalue > 0.01
    counts = np.histogram(times, np.arange(251))[0]  # a second each: Poisson, so the variance is the mean
    assert abs(counts.mean() - 40) < 4 * np.sqrt(40 / 250)
    assert abs(counts.var() / 40 - 1) < 4 * np.sqrt(2 / 250)
    assert abs(poisson.cdf(counts, 40).mean() - 0.5) < 0.1
    assert arrivals(40, 250, 3) == times.tolist() != arrivals(40, 250, 4)
    assert not kstest(np.diff(np.linspace(0, 250, len(times))), "expon", args=(0, 1 / 40)).pvalue > 0.01  # a metronome


def test_prompts_never_repeat_and_are_in_both_languages() -> None:
    told = list(islice(scenes(5), 200))
    assert len(set(told)) == 200 and told == list(islice(scenes(5), 200)) != list(islice(scenes(6), 200))
    vietnamese = sum(any(ord(letter) > 127 for letter in prompt) for prompt in told)
    assert 75 <= vietnamese <= 100


def test_a_plan_repeats_and_mixes() -> None:
    kinds = mix_of("4:1, 25@1:3")
    assert kinds == (Kind(4, 0.25), Kind(25, 0.75, 1.0)) and kinds[1].name == "25 steps, guidance 1"
    planned = plan(20, 100, kinds, map(str, range(10**6)), seed=1)
    assert planned == plan(20, 100, kinds, map(str, range(10**6)), seed=1)
    assert abs(sum(one.kind.steps == 4 for one in planned) / len(planned) - 0.25) < 0.04
    assert len({one.prompt for one in planned}) == len(planned)
    with pytest.raises(TranhError, match="none is sent twice"):
        plan(20, 100, kinds, ["one", "two"])
    for wrong in ("", "four:1", "0:1", "4:-1", "4:nan", "4:inf"):
        with pytest.raises(TranhError, match="STEPS:SHARE"):
            mix_of(wrong)


def test_a_server_that_stalls_cannot_hide_it() -> None:
    app = FastAPI()

    @app.post("/v1/images/generations")
    async def draw(body: dict[str, Any]) -> dict[str, Any]:
        if body["seed"] == 5:
            time.sleep(0.8)  # nobody is answered meanwhile
        return {"data": [{}]}

    with listening(app) as where:
        load = shot_at(Target(where, "openai"), numbered([0.05 * k for k in range(24)]))
    latency = {shot.planned.number: shot.latency for shot in load.shots}
    assert all(shot.outcome == "done" and shot.sent - shot.planned.due < 0.2 for shot in load.shots)
    assert all(latency[k] < 0.25 for k in range(5))
    for k in range(6, 18):  # due 0.3 s to 0.85 s; the stall is from 0.25 s to 1.05 s
        assert latency[k] > 1.0 - 0.05 * k
    late = Shot(numbered([1.0])[0], sent=3.0, ended=3.5, outcome="done")
    assert late.latency == 2.5  # not 0.5: that it was sent late is no excuse


def test_what_goes_wrong_is_told_apart() -> None:
    app = FastAPI()

    @app.post("/v1/images/generations")
    async def draw(body: dict[str, Any]) -> Any:
        match body["seed"] % 4:
            case 0:
                return JSONResponse({"error": {}}, 429, {"retry-after": "1"})
            case 1:
                return JSONResponse({"error": {"message": "broken"}}, 500)
            case 2:
                await asyncio.sleep(3)
        return {"data": [{"b64_json": ""}]}

    with listening(app) as where:
        load = shot_at(Target(where, "openai"), numbered([0.01 * k for k in range(40)]), timeout=0.5)
    one = figures(load).classes[0]
    assert one.outcomes == {"done": 10, "refused": 10, "timeout": 10, "error": 10, "abandoned": 0} and one.sent == 40
    waited = [shot.latency for shot in load.shots if shot.outcome == "timeout"]
    assert all(0.5 <= latency < 1.5 for latency in waited)
    assert one.latency[50] is not None and one.latency[50].count == 20  # refusals and errors have no latency
    assert "broken" in as_text([load]) and "500" in as_text([load])
    with pytest.raises(TranhError, match="nobody answers"):
        shot_at(Target(where, "openai"), numbered([0.0]))
    with pytest.raises(TranhError, match="native, openai"):
        shot_at(Target(where, "soap"), numbered([0.0]))


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Engine(Doors(), active=2, waiting=3) as engine:
        yield Desk([Stub(pause=0.02)], engine)


def test_jobs_are_watched_to_their_end_and_cancelled_when_given_up(desk: Desk) -> None:
    with listening(create_app(desk)) as where:
        planned = numbered([0.0, 0.01]) + [Planned(2, 0.02, Kind(4), "fail", 0), Planned(3, 0.3, Kind(1000), "long", 0)]
        load = shot_at(Target(where), planned, timeout=1.0)
        assert {s.planned.number: s.outcome for s in load.shots} == {0: "done", 1: "done", 2: "error", 3: "timeout"}
        assert min(shot.latency for shot in load.shots if shot.outcome == "done") >= 4 * 0.02
        records, _ = desk.jobs()
        assert {record.order.request["prompt"]: record.order.request["steps"] for record in records}["long"] == 1000
        until = time.monotonic() + 5
        while (left := next(r for r in desk.jobs()[0] if r.order.request["prompt"] == "long")).status == "in_progress":
            assert time.monotonic() < until
            time.sleep(0.02)
        assert left.status == "cancelled"
        crowd = shot_at(Target(where), numbered([0.0] * 12))
        assert figures(crowd).classes[0].outcomes["refused"] == 12 - 5  # two at work and three who wait


def test_it_stops_when_asked_with_what_was_had(desk: Desk) -> None:
    asked = threading.Event()
    threading.Timer(0.4, asked.set).start()
    with listening(create_app(desk)) as where:
        planned = [*numbered([0.0, 0.05]), Planned(2, 0.1, Kind(500), "long", 0), Planned(3, 30.0, FOUR, "never", 0)]
        load = shot_at(Target(where), planned, stop=asked.is_set)
    assert {s.planned.number: s.outcome for s in load.shots} == {0: "done", 1: "done", 2: "abandoned"}
    assert load.seconds < 2 and "stopped" in as_text([load])


def test_the_command_tells_all_of_it(desk: Desk, tmp_path: Any) -> None:
    out = tmp_path / "load.html"
    with listening(create_app(desk)) as where:
        url = f"http://127.0.0.1:{where.port}"
        args = ["stress", "--url", url, "--rates", "10,20", "--warm", "0.2", "-o", str(out)]
        done = CliRunner().invoke(cli.app, [*args, "--seconds", "0.8", "--mix", "2:0.5,3@1:0.5"])
        assert done.exit_code == 0, done.output
        told = json.loads(out.with_suffix(".json").read_text("utf-8"))
        assert [load["rate"] for load in told["loads"]] == [10, 20]
        prompts = [request["prompt"] for load in told["loads"] for request in load["requests"]]
        assert len(prompts) == len(set(prompts)) > 10
        assert {record.order.request["prompt"] for record in desk.jobs(limit=200)[0]} <= set(prompts)
        html = out.read_text("utf-8")
        assert html.count("data:image/png;base64,") == 9 and "http" not in html.replace(url, "")
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
        done = CliRunner().invoke(cli.app, [*args, "--rates", "10", "--seconds", "60"])
        assert done.exit_code == 0 and "stopped" in done.output


def load_of(ends: list[tuple[float, float, Outcome, Kind]], warm: float = 0.0, seconds: float = 10.0) -> Load:
    shots = [
        Shot(Planned(k, due, kind, str(k), k), due, end, outcome) for k, (due, end, outcome, kind) in enumerate(ends)
    ]
    return Load(1.0, warm, seconds, 60.0, tuple(shots))


def test_figures_by_hand() -> None:
    load = load_of(
        [
            (0.5, 1.5, "done", FOUR),  # in the warm-up
            (1.5, 2.5, "done", FOUR),
            (2.0, 5.0, "done", LONG),
            (3.0, 3.0, "refused", LONG),
            (10.5, 13.0, "done", FOUR),  # ends after the time
        ],
        warm=1.0,
    )
    told = figures(load)
    assert told.offered == 0.4 and told.throughput == 0.3  # the first of them ended in time: it was work too
    assert [one.name for one in told.classes] == ["4 steps", "25 steps", "all"]
    assert [one.sent for one in told.classes] == [2, 2, 4] and told.classes[1].outcomes["refused"] == 1
    assert told.in_flight == (pytest.approx((0.5 + 1.0 + 3.0 + 0.5) / 10), 2)
    assert not told.keeps_up
    times, on_way = flight(load)
    assert times.tolist() == [0.5, 1.5, 1.5, 2.0, 2.5, 3.0, 3.0, 5.0, 10.5, 13.0] and on_way[-1] == 0
    whole = as_json([load], {})["loads"][0]
    assert [request["latency"] for request in whole["requests"]] == [1.0, 1.0, 3.0, 0.0, 2.5]
    assert as_text([load]).splitlines()[1].split()[:5] == ["1", "4", "steps", "2", "2"]


def test_percentiles_and_their_intervals() -> None:
    hundred = [float(k) for k in range(1, 101)]
    assert [percentile(hundred, level) for level in (50, 95, 99, 100)] == [50, 95, 99, 100]
    assert percentile([3.0], 95) == 3.0
    assert percentile_interval(hundred[:99], 95) is None and percentile_interval(hundred, 95) is not None
    equal = percentile_interval([2.0] * 100, 95)
    assert equal is not None and (equal.value, equal.low, equal.high) == (2.0, 2.0, 2.0)
    choice, inside = np.random.default_rng(0), 0
    for k in range(40):
        found = percentile_interval(choice.exponential(1.0, 200).tolist(), 50, seed=k)
        assert found is not None
        inside += found.low <= np.log(2) <= found.high
    assert inside >= 33  # 38 expected of 95 %


def test_the_rate_it_keeps_up_with_is_found() -> None:
    def tried(rate: float, limit: float = 3.3) -> Load:
        end = 1.0 if rate <= limit else 100.0
        return Load(rate, 0.0, 10.0, 60.0, load_of([(0.1 * k, 0.1 * k + end, "done", FOUR) for k in range(50)]).shots)

    loads: list[Load] = []
    while (rate := following(loads, 0.5)) is not None:
        loads.append(tried(rate))
    assert [round(load.rate, 2) for load in loads[:4]] == [0.5, 1.0, 2.0, 4.0] and len(loads) == 7
    assert 3.3 / 1.15 < max(load.rate for load in loads if figures(load).keeps_up) <= 3.3
    assert following([tried(0.5, 0.0)], 0.5) == 0.25
