import json

import pytest
import torch

from tranh.engine.evaluate import RESULTS, Case, evaluate, pictures
from tranh.engine.sheet import letters, sheet
from tranh.types import Request, TranhError

CASES = [Case(f"a/{k}", Request(f"p{k}", seed=k, size=8)) for k in range(10)]
PROTOCOL = {"model": "x", "seed": 0}


class Maker:
    """Grey pictures, as bright as their seed; counts what it made and can stop in the middle."""

    def __init__(self, stop_at: int = 10**9) -> None:
        self.made: list[int] = []
        self.stop_at = stop_at

    def __call__(self, requests):
        if len(self.made) >= self.stop_at:
            raise KeyboardInterrupt
        self.made += [r.seed for r in requests]
        return torch.stack([torch.full((3, r.size, r.size), r.seed / 20) for r in requests])


MEASURES = {
    "bright": lambda cases, images: images.mean((1, 2, 3)).tolist(),
    "name": lambda cases, _: [c.key for c in cases],
}


def run(maker, out, **options):
    return list(evaluate(maker, CASES, MEASURES, out, **{"protocol": PROTOCOL, "batch": 4} | options))


def test_every_case_is_measured_once(tmp_path):
    events = run(maker := Maker(), tmp_path)
    assert [e.done for e in events] == [4, 8, 10, 10] and maker.made == list(range(10))
    records = events[-1].result
    assert [r["key"] for r in records] == [r["name"] for r in records] == [c.key for c in CASES]
    kept = pictures(tmp_path, ["a/9"])
    assert kept.mean().item() == pytest.approx(records[9]["bright"]) == pytest.approx(0.45, abs=1 / 255)
    assert events[2].figures["bright"] == pytest.approx(0.225, abs=0.01) and "name" not in events[2].figures


def test_stopped_and_continued_is_the_same(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(Maker(stop_at=8), tmp_path / "b")
    file = tmp_path / "b" / RESULTS
    file.write_bytes(file.read_bytes() + b'{"key": "a/8", "bri')  # killed while writing
    events = run(maker := Maker(), tmp_path / "b")
    assert maker.made == [8, 9] and [e.done for e in events] == [10, 10]
    assert events[-1].result == run(Maker(), tmp_path / "a")[-1].result
    assert file.read_bytes() == (tmp_path / "a" / RESULTS).read_bytes()
    assert run(maker := Maker(), tmp_path / "b")[-1].result and maker.made == []


def test_another_protocol_or_measure(tmp_path):
    run(Maker(), tmp_path)
    with pytest.raises(TranhError, match="model: 'x' there, 'y' here"):
        run(Maker(), tmp_path, protocol={"model": "y", "seed": 0})
    new = {"brighter": lambda cases, images: [1] * len(cases)}
    events = list(evaluate(maker := Maker(), CASES, new, tmp_path, protocol=PROTOCOL))
    assert len(maker.made) == 10 and events[-1].result[0]["brighter"] == 1


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(TranhError, match="same key"):
        list(evaluate(Maker(), CASES[:1] * 2, MEASURES, tmp_path, protocol={}))
    with pytest.raises(TranhError, match="called"):
        list(evaluate(Maker(), [Case("../x", Request("p"))], MEASURES, tmp_path, protocol={}))
    with pytest.raises(TranhError, match="finite"):
        list(evaluate(lambda r: torch.full((len(r), 3, 8, 8), torch.nan), CASES, MEASURES, tmp_path / "n", protocol={}))
    with pytest.raises(TranhError, match="values"):
        list(evaluate(Maker(), CASES, {"m": lambda c, i: [1]}, tmp_path / "m", protocol={}))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / RESULTS).write_text("no\n")
    with pytest.raises(TranhError, match="damaged"):
        run(Maker(), tmp_path / "d")
    first = evaluate(Maker(), CASES, MEASURES, tmp_path / "l", protocol={}, batch=4)
    next(first)
    with pytest.raises(TranhError, match="another process"):
        run(Maker(), tmp_path / "l")


def test_results_are_json_lines(tmp_path):
    run(Maker(), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / RESULTS).read_text().splitlines()]
    assert lines[0] == {"protocol": PROTOCOL} and len(lines) == 11


def test_sheet_has_vietnamese_letters():
    letter = {c: bytes(letters(14).getmask(c)) for c in "ộếẵữđĐỹểựờẩọ"}
    assert len(set(letter.values())) == len(letter)  # a font without them draws the same box for all
    page = sheet(torch.zeros(3, 3, 8, 8), ["một hình tròn đỏ", "b", "c"], columns=2, side=64)
    assert page.width == 2 * 72 + 8 and page.height > 2 * 72
