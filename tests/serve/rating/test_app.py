"""The server as programs see it: raters over HTTP, what is refused, and strengths that come back out."""

import json

import numpy as np
import pytest
import rating_toys as toys
from starlette.testclient import TestClient

from tranh.serve.rating.app import app
from tranh.serve.rating.votes import Votes
from tranh.types import TranhError


@pytest.fixture
def server(of_three, votes):
    return app(of_three, votes)


def client(server):
    return TestClient(server, base_url=toys.ORIGIN)


def enter(server, language="en"):
    browser = client(server)
    reply = browser.post("/api/raters", json={"language": language})
    assert reply.status_code == 200, reply.text
    return browser, reply.json()


def pictures(browser, task):
    return [[toys.pixels_of(browser.get(a).content) for a in task[side]] for side in ("left", "right")]


def rate(server, language="en", seed=0, choose=toys.answer):
    """A rater from beginning to end, who sees only what a browser is sent."""
    browser, task = enter(server, language)
    rng = np.random.default_rng(seed)
    with browser:  # one event loop for all of its requests, not one for each
        while not task["done"]:
            answer = choose(*pictures(browser, task), rng)
            body = {"task": task["task"], "answer": answer, "language": language, "seconds": 2.5}
            task = browser.post("/api/votes", json=body).json()
    return task["code"]


def owners(server, votes, what="results"):
    return client(server).get(f"/api/{what}", headers={"authorization": f"Bearer {votes.secret('owner')}"})


def test_known_strengths_are_recovered(server, votes):
    """16 attentive raters and two who click anywhere: the strengths put in are inside the intervals that come out."""
    for seed in range(16):
        rate(server, ("en", "vi")[seed % 2], seed)
    clicking = [rate(server, "en", seed, lambda a, b, rng: ("left", "right")[rng.integers(2)]) for seed in (5, 6)]
    found = owners(server, votes).json()
    assert found["raters"] == 18 and {r["rater"] for r in found["excluded"]} <= set(clicking)
    assert found["excluded"] and found["votes"] == 30 * (18 - len(found["excluded"]))
    for question in ("photorealism", "caption", "diversity"):
        one = found["questions"][question]["all"]
        of = {row["system"]: row for row in one["strengths"]}
        assert all(of[n]["low"] <= true <= of[n]["high"] for n, true in toys.TRUE.items()), (question, of)
        assert one["systems"] == ["quokka", "numbat", "wombat"]
        assert of["quokka"]["high"] - of["quokka"]["low"] < 1.8
        assert {"en", "vi"} <= set(found["questions"][question])
        assert one["agreement"]["pairs"] >= 60 and one["agreement"]["alpha"] > 0
    lines = owners(server, votes, "votes.csv").text.splitlines()
    assert len(lines) == 1 + 18 * 35  # those left out and the checks too


def test_nothing_a_rater_receives_names_a_system(server):
    browser, task = enter(server)
    seen = [json.dumps(task)]
    sizes = set()
    while not task["done"]:
        for address in task["left"] + task["right"]:
            reply = browser.get(address)
            seen += [address, str(dict(reply.headers)), reply.content.decode("latin-1")]
            sizes.add(toys.pixels_of(reply.content).shape)
        seen += [browser.get(path).text for path in ("/", "/rate.js", "/results", "/i18n/vi.json", "/api/results")]
        body = {"task": task["task"], "answer": "same", "language": "en"}
        task = browser.post("/api/votes", json=body).json()
        seen.append(json.dumps(task))
    assert not [name for name in toys.RED if any(name in one for one in seen)]
    assert sizes == {(16, 16, 3)}


def test_photorealism_is_asked_without_a_caption(server):
    browser, task = enter(server, "vi")
    asked = set()
    while not task["done"]:
        asked.add(task["question"])
        assert (task["caption"] is None) == (task["question"] == "photorealism")
        if task["caption"]:
            assert task["caption"]["language"] == "vi" and "một vật" in task["caption"]["text"]
        task = browser.post("/api/votes", json={"task": task["task"], "answer": "left", "language": "vi"}).json()
    assert asked == {"photorealism", "caption", "diversity"}


def test_who_comes_back_gets_the_same_task(server, of_three, votes):
    browser, task = enter(server)
    assert browser.get("/api/task").json() == task
    assert browser.post("/api/raters", json={"language": "vi"}).json()["task"] == task["task"]  # no second rater
    vote = {"task": task["task"], "answer": "left", "language": "en", "seconds": 1}
    second = browser.post("/api/votes", json=vote).json()
    assert second["answered"] == 1 and second["task"] != task["task"]
    assert browser.post("/api/votes", json=vote).json() == second  # sent twice, counted once
    assert browser.post("/api/votes", json=vote | {"answer": "right"}).status_code == 409
    assert [r.answer for r in votes.all()] == ["left"]
    restarted = client(app(of_three, votes))
    restarted.cookies = browser.cookies
    assert restarted.get("/api/task").json() == second


def test_newcomers_are_told_how_long_it_takes(server):
    assert client(server).get("/api/task").json() == {"new": True, "minutes": 5}


def test_tasks_of_others_cannot_be_answered_or_seen(server, votes):
    (one, task), (other, _) = enter(server), enter(server)
    vote = {"task": task["task"], "answer": "left", "language": "en"}
    assert other.post("/api/votes", json=vote).status_code == 404
    assert other.get(task["left"][0]).status_code == 404 and client(server).get(task["left"][0]).status_code == 401
    position, _, mac = task["task"].partition("-")
    for name in (f"1-{mac}", f"{position}-", "-1-x", "9999-x", "²-x", "x", f"{position}-{mac[:-1]}é", "0-\ud800"):
        body = json.dumps(vote | {"task": name})  # half a character (U+D800) can be written in JSON
        reply = one.post("/api/votes", content=body, headers={"content-type": "application/json"})
        assert reply.status_code in (404, 422)
    for path in ("left-9.png", "left--1.png", "top-0.png", "..%2f..%2fvotes.sqlite"):
        assert one.get(f"/pictures/{task['task']}/{path}").status_code in (404, 422)
    assert not votes.all()


@pytest.mark.parametrize(
    "change",
    [
        {"answer": "up"},
        {"seconds": -1},
        {"seconds": "x"},
        {"language": "fr"},
        {"system": "quokka"},
        {"task": "x" * 200},
    ],
    ids=str,
)
def test_odd_votes_are_refused(server, votes, change):
    browser, task = enter(server)
    body = {"task": task["task"], "answer": "left", "language": "en"} | change
    assert browser.post("/api/votes", json=body).status_code == 422 and not votes.all()


def test_a_missing_picture_is_skipped_and_named_to_nobody(server, of_three, votes, folders):
    browser, task = enter(server)
    for path in folders:
        for file in path.glob("*.png"):
            file.write_bytes(file.read_bytes()[:60])
    reply = browser.get(task["left"][0])
    assert reply.status_code == 404 and reply.json() == {"detail": "the picture cannot be read"}
    browser.post("/api/votes", json={"task": task["task"], "answer": "broken", "language": "en"})
    assert owners(server, votes).json()["broken"] == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example:8765"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": ""}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"content-length": "99999999"}, 413),
        ({"origin": toys.ORIGIN}, 200),
        ({"host": "localhost:8765"}, 200),
    ],
    ids=str,
)
def test_who_may_ask(server, headers, status):
    reply = client(server).post("/api/raters", json={"language": "en"}, headers=headers)
    assert reply.status_code == status
    assert "default-src 'self'; img-src 'self' blob: data:" in reply.headers["content-security-policy"]
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_a_body_without_end_is_not_read(server):
    def pieces():
        for _ in range(2000):
            yield b" " * 1000

    reply = client(server).post("/api/raters", content=pieces(), headers={"content-type": "application/json"})
    assert reply.status_code >= 400


def test_the_cookie_stays_with_the_browser(server):
    reply = client(server).post("/api/raters", json={"language": "en"})
    cookie = reply.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie


@pytest.mark.parametrize("path", ["results", "votes.csv"])
def test_results_are_for_the_owner(server, votes, path):
    for headers in ({}, {"authorization": "Bearer x"}, {"authorization": f"Bearer {votes.secret('tasks')}"}):
        assert client(server).get(f"/api/{path}", headers=headers).status_code == 401
    assert owners(server, votes, path).status_code == 200


def test_other_machines_need_the_token(of_three, votes):
    with pytest.raises(TranhError, match="--token"):
        app(of_three, votes, host="0.0.0.0")
    with pytest.raises(TranhError, match="--token"):
        app(of_three, votes, host="192.168.0.7", token="short")
    browser = TestClient(app(of_three, votes, host="0.0.0.0", token="long enough"), base_url="http://rate.example")
    assert browser.post("/api/raters", json={"language": "en"}).status_code == 403
    assert browser.post("/api/raters", json={"language": "en", "token": "long enougH"}).status_code == 403
    assert browser.post("/api/raters", json={"language": "en", "token": "long enough"}).status_code == 200


def test_both_languages_say_everything():
    from tranh.serve.rating import app as module

    english, vietnamese = (json.loads((module._PAGE / f"i18n/{code}.json").read_text("utf-8")) for code in ("en", "vi"))
    assert list(english) == list(vietnamese) and all(english.values()) and all(vietnamese.values())
    for key, text in english.items():
        assert sorted(toys.re.findall(r"\{\w+\}", text)) == sorted(toys.re.findall(r"\{\w+\}", vietnamese[key])), key


def test_the_next_process_goes_on(of_three, tmp_path):
    first = Votes(tmp_path / "again.sqlite")
    first.begin(of_three.protocol)
    browser, task = enter(app(of_three, first))
    task = browser.post("/api/votes", json={"task": task["task"], "answer": "left", "language": "en"}).json()
    first.close()
    second = Votes(tmp_path / "again.sqlite")
    second.begin(of_three.protocol)
    later = client(app(of_three, second))
    later.cookies = browser.cookies
    assert later.get("/api/task").json() == task
    second.close()
