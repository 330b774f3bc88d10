"""Keys: how they are read, who is let in, and what one may do in a minute and in a day."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from running import running
from stubs import Able

from tranh.engine.doors import Doors
from tranh.engine.jobs import Engine
from tranh.serve.app import Settings, create_app
from tranh.serve.desk import Desk
from tranh.serve.keys import DAY, Bucket, Keys, read_key, read_keys
from tranh.serve.orders import Order, Refused
from tranh.serve.signed import Signer
from tranh.serve.sources import pictures_of
from tranh.types import TranhError

ONE, OTHER = "one-secret-of-tests", "another-secret-of-tests"


def test_reading(tmp_path: Path) -> None:
    key = read_key(f"anna:{ONE} 60 500")
    assert (key.name, key.per_minute, key.per_day) == ("anna", 60, 500) and ONE not in repr(key)
    assert read_key(ONE).name.startswith("key-") and read_key(ONE).per_day is None
    file = tmp_path / "keys.txt"
    file.write_text(f"# ours\n\nanna:{ONE} 60 # hers\n")
    assert [key.name for key in read_keys([f"ben:{OTHER}"], f"c:{'x' * 20},,", file)] == ["ben", "c", "anna"]
    for line in ("", "short", "anna:short", f"an na:{ONE}", f"anna:{ONE} many", f"anna:{ONE} 0", f"ann/a:{ONE}"):
        with pytest.raises(TranhError) as caught:
            read_key(line)
        assert ONE not in str(caught.value)
    with pytest.raises(TranhError, match="twice"):
        read_keys([f"a:{ONE}", f"b:{ONE}"])
    with pytest.raises(TranhError, match="cannot be read"):
        read_keys(file=tmp_path / "none")


def test_a_bucket() -> None:
    now = [0.0]
    bucket = Bucket(60, lambda: now[0])
    assert [bucket.take()[1] for _ in range(60)] == list(range(59, -1, -1))
    good, left, seconds = bucket.take()
    assert not good and left == 0 and seconds == pytest.approx(1)
    now[0] = 2.0
    assert [bucket.take()[0] for _ in range(3)] == [True, True, False]
    now[0] = 1.0  # a clock that goes back gives nothing
    assert not bucket.take()[0]


def test_every_key_is_compared_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, compared = Keys(read_keys([f"a:{ONE}", f"b:{OTHER}"])), []
    real: Callable[[Any, Any], bool] = hmac.compare_digest
    monkeypatch.setattr("tranh.serve.keys.hmac.compare_digest", lambda a, b: compared.append(len(a)) or real(a, b))
    for secret in (ONE, OTHER, "wrong", ""):
        keys.whose(secret)
    assert compared == [32] * 8  # digests, all of one length, whichever is right


def test_a_quota_outlives_a_restart() -> None:
    now, told = [10 * DAY + 5], []

    def ordered(owner: str, since: float) -> int:
        told.append((owner, since))
        return 3

    keys = Keys(read_keys([f"anna:{ONE} 60 5"]), ordered=ordered, clock=lambda: now[0])
    caller = keys.caller(keys.keys[0])
    caller.pay(2)
    with pytest.raises(Refused) as caught:
        caller.pay(1)
    assert (caught.value.status, caught.value.code) == (429, "insufficient_quota")
    assert caught.value.retry_after == DAY - 5 and told == [("anna", 10 * DAY)]
    now[0] += DAY
    caller.pay(2)


@given(st.text(), st.text())
def test_no_header_breaks_the_door(scheme: str, word: str) -> None:
    keys = Keys(read_keys([f"a:{ONE}"]), Signer(b"x"))
    for headers in ({"authorization": f"{scheme} {word}"}, {"cookie": word}, {"cookie": f"tranh_session={word}"}):
        with pytest.raises(Refused) as caught:
            keys.enter(headers)
        assert caught.value.status == 401


@pytest.fixture
def client() -> Iterator[TestClient]:
    settings = Settings(keys=read_keys([f"anna:{ONE} 10 3", f"ben:{OTHER}"]))
    with Engine(Doors()) as engine:
        desk = Desk([Able()], engine)
        with TestClient(create_app(desk, settings)) as client:
            yield client
        desk.close()


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def test_what_needs_a_key(client: TestClient) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json", "/api/session"):
        assert client.get(path).status_code == 200
    told = set()
    paths = client.get("/openapi.json").json()["paths"]
    assert len(paths) > 20
    for path, operations in paths.items():
        for method in operations:
            if path in ("/healthz", "/readyz", "/api/session") or path.startswith("/v1/images/files"):
                continue
            reply = client.request(method, path.replace("{id}", "x").replace("{id:path}", "x"))
            assert reply.status_code == 401, f"{method} {path}"
            assert reply.headers["www-authenticate"].startswith("Bearer")
            told.add(reply.text)
    wrong = client.get("/api/jobs", headers=bearer("wrong-secret-of-tests")).text
    assert told == {wrong}  # nothing says whether there was no key or a wrong one
    assert client.get("/api/../v1/models").status_code == 401
    assert client.get("//v1/models").status_code == 401
    assert client.get("/studio/../v1/models").status_code == 401


def test_a_password_is_a_key(client: TestClient) -> None:
    word = base64.b64encode(f"whoever:{OTHER}".encode()).decode()
    assert client.get("/api/jobs", headers={"authorization": f"Basic {word}"}).status_code == 200
    assert client.get("/api/jobs", headers={"authorization": "Basic ???"}).status_code == 401


def test_owners_do_not_see_each_other(client: TestClient) -> None:
    job = client.post("/api/jobs", json={"request": {"prompt": "a cat"}}, headers=bearer(ONE)).json()
    with client.stream("GET", f"/api/jobs/{job['id']}/events", headers=bearer(ONE)) as stream:
        assert "end" in stream.read().decode()
    done = client.get(f"/api/jobs/{job['id']}", headers=bearer(ONE)).json()
    image = done["images"][0]["id"]
    jobs, images = f"/api/jobs/{job['id']}", f"/api/images/{image}"
    for method, path in (
        ("GET", jobs), ("DELETE", jobs), ("POST", f"{jobs}/cancel"), ("POST", f"{jobs}/retry"),
        ("GET", f"{jobs}/events"), ("GET", images), ("GET", f"{images}/file"), ("GET", f"{images}/thumb"),
        ("DELETE", images),
    ):  # fmt: skip
        assert client.request(method, path, headers=bearer(OTHER)).status_code == 404, path
    assert client.get("/api/images", headers=bearer(OTHER)).json()["data"] == []
    assert client.get(f"/api/images/{image}", headers=bearer(ONE)).status_code == 200


def test_rates_and_quotas(client: TestClient) -> None:
    order = {"request": {"prompt": "a cat", "count": 2}}
    first = client.post("/api/jobs", json=order, headers=bearer(ONE))
    assert first.status_code == 202 and first.headers["x-ratelimit-remaining-requests"] == "9"
    over = client.post("/api/jobs", json=order, headers=bearer(ONE))
    assert over.status_code == 429 and over.json()["error"]["code"] == "insufficient_quota"
    for path, count in (("/v1/images/generations", "n"), ("/sdapi/v1/txt2img", "batch_size")):
        said = {"prompt": "a cat", count: 2}
        assert client.post(path, json=said, headers=bearer(ONE)).status_code == 429, path
    for _ in range(20):  # hints while somebody types are free
        assert client.post("/api/prompt", json={"prompt": "a cat"}, headers=bearer(ONE)).status_code == 200
    for _ in range(6):
        assert client.post("/sdapi/v1/skip", headers=bearer(ONE)).status_code == 200
    slow = client.post("/sdapi/v1/skip", headers=bearer(ONE))
    assert slow.status_code == 429 and int(slow.headers["retry-after"]) >= 1
    assert slow.json()["error"]["code"] == "rate_limit_exceeded"
    assert slow.headers["x-ratelimit-limit-requests"] == "10"
    assert client.get("/api/jobs", headers=bearer(ONE)).status_code == 200  # looking is free
    assert client.post("/sdapi/v1/skip", headers=bearer(OTHER)).status_code == 200


@pytest.mark.parametrize(
    ("tool", "said", "pictures"),
    [
        ("generate", {}, 1),
        ("generate", {"count": 1000.0}, 1000),
        ("generate", {"count": None, "seeds": [1, 2, 3]}, 3),
        ("generate", {"count": 2, "candidates": 1000}, 2000),
        ("variation", {"count": 2.0, "candidates": 3.0}, 6),
        ("generate", {"count": True, "candidates": "9"}, 1),
        ("generate", {"count": float("nan"), "candidates": 10**400}, 1),
        ("generate", {"count": -3, "candidates": -3}, 1),
        ("animate", {"keys": ["a", "b"]}, 24),
        ("animate", {"keys": ["a", "b"], "frames": None}, 24),
        ("animate", {"keys": ["a", "b"], "frames": 2, "seeds": [1, 2]}, 2),
        ("turn", {}, 24),
        ("motion", {}, 16),
        ("interpolate", {}, 8),
        ("latent", {}, 8),
        ("sweep", {}, 7),
        ("sweep", {"frames": 3.0}, 3),
        ("no tool", {"count": 5}, 5),
    ],
    ids=str,
)
def test_every_picture_is_counted(tool: str, said: dict[str, Any], pictures: int) -> None:
    assert pictures_of(Order(tool, "", said)) == pictures


def test_no_way_of_writing_passes_the_quota(client: TestClient) -> None:
    for said in ({"count": 1000.0}, {"candidates": 4}, {"count": 2, "candidates": 2}, {"seeds": [1, 2, 3, 4]}):
        reply = client.post("/api/jobs", json={"request": {"prompt": "a cat", **said}}, headers=bearer(ONE))
        assert reply.status_code == 429 and reply.json()["error"]["code"] == "insufficient_quota", said


def test_what_is_refused_or_ordered_already_costs_nothing(client: TestClient) -> None:
    for path, said in (
        ("/api/jobs", {"request": {"prompt": "an unknownword"}}), ("/sdapi/v1/txt2img", {"prompt": "an unknownword"}),
        ("/v1/images/generations", {"prompt": "an unknownword"}),
    ):  # fmt: skip
        assert client.post(path, json=said, headers=bearer(ONE)).status_code == 400
    order = {"request": {"prompt": "a cat", "count": 1}}
    again = bearer(ONE) | {"idempotency-key": "once"}
    for _ in range(3):
        assert client.post("/api/jobs", json=order, headers=again).status_code == 202
    order["request"]["count"] = 2
    assert client.post("/api/jobs", json=order, headers=bearer(ONE)).status_code == 202
    assert client.post("/api/jobs", json=order, headers=bearer(ONE)).status_code == 429


def test_a_browsers_session(client: TestClient) -> None:
    assert client.get("/api/session").json() == {"needed": True, "owner": None}
    assert client.post("/api/session", json={"key": "wrong-secret-of-tests"}).status_code == 401
    entered = client.post("/api/session", json={"key": ONE})
    cookie = entered.headers["set-cookie"].lower()
    assert entered.json()["owner"] == "anna" and ONE not in cookie
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert client.get("/api/jobs").status_code == 200 and client.get("/api/session").json()["owner"] == "anna"
    value = client.cookies["tranh_session"]
    client.delete("/api/session")
    assert client.get("/api/jobs").status_code == 401
    for forged in (value[:-2], value.replace("anna", "ben"), value.replace(".", ".9", 1), "", value + "."):
        assert client.get("/api/jobs", headers={"cookie": f"tranh_session={forged}"}).status_code == 401
    assert client.get("/api/jobs", headers={"cookie": f"tranh_session={value}"}).status_code == 200


def test_a_server_is_used_with_a_password_and_from_a_browser() -> None:
    """Over real sockets: both ways are one key's, with its pictures, its quota and its requests a minute."""
    with (
        running([Able()], Settings(keys=read_keys([f"anna:{ONE} 4 3", f"ben:{OTHER}"]))) as server,
        httpx2.Client(base_url=server.url, auth=("whoever", ONE), timeout=30) as basic,
        httpx2.Client(base_url=server.url, timeout=30) as browser,
    ):
        assert browser.get("/api/jobs").status_code == 401
        assert browser.post("/api/session", json={"key": ONE}).json()["owner"] == "anna"
        assert basic.post("/sdapi/v1/txt2img", json={"prompt": "a cat"}).status_code == 200
        (job,) = browser.get("/api/jobs").json()["data"]
        assert browser.get(job["images"][0]["url"]).status_code == 200
        order = {"request": {"prompt": "a cat", "count": 2}}
        assert browser.post("/api/jobs", json=order).status_code == 202
        for client in (basic, browser):
            over = client.post("/sdapi/v1/txt2img", json={"prompt": "a cat"})
            assert (over.status_code, over.json()["error"]) == (429, "insufficient_quota")
            assert int(over.headers["retry-after"]) >= 1
        for client in (basic, browser):  # a request comes back after 15 s, not six
            slow = [client.post("/sdapi/v1/skip") for _ in range(6)][-1]
            assert slow.status_code == 429 and slow.json()["error"]["code"] == "rate_limit_exceeded"
            assert int(slow.headers["retry-after"]) >= 1 and client.get("/api/jobs").status_code == 200
        other = httpx2.get(f"{server.url}/api/jobs", auth=("anna", OTHER))
        assert other.status_code == 200 and other.json()["data"] == []


def test_wrong_keys_have_an_end() -> None:
    keys, asked = Keys(read_keys([f"anna:{ONE}"]), Signer(b"s")), {"x-other": ""}
    good, wrong = bearer(ONE), bearer("wrong-secret-of-tests")

    def status(headers: dict[str, str], host: str) -> int:
        try:
            keys.enter(headers, host)
        except Refused as error:
            assert error.status == 401 or (error.code == "rate_limit_exceeded" and error.retry_after)
            return error.status
        return 200

    assert [status(wrong, "one") for _ in range(31)] == [401] * 30 + [429]
    assert status(good, "one") == 429, "who guesses is not told that he guessed right"
    assert status(wrong, "two") == 401 and status(good, "two") == 200
    assert [status(asked, "three") for _ in range(40)] == [401] * 40, "no key is no wrong one"
    assert [status({"cookie": "tranh_session=a.b.c"}, "four") for _ in range(31)][-1] == 429
    for k in range(5000):
        status(wrong, f"host {k}")
    assert len(keys._wrong) == 4096


def test_wrong_keys_have_an_end_over_http(client: TestClient) -> None:
    replies = [client.post("/api/session", json={"key": "wrong-secret-of-tests"}) for _ in range(31)]
    assert [reply.status_code for reply in replies] == [401] * 30 + [429]
    assert int(replies[-1].headers["retry-after"]) >= 1
    assert client.get("/api/jobs", headers=bearer(ONE)).status_code == 429


def test_a_session_ends_with_its_key() -> None:
    keys, now = read_keys([f"anna:{ONE}"]), [1000.0]
    door = Keys(keys, Signer(b"s"), clock=lambda: now[0])
    word = door.session(keys[0])
    assert door.of_session(word) == keys[0]
    changed = Keys(read_keys([f"anna:{OTHER}"]), Signer(b"s"), clock=lambda: now[0])
    assert changed.of_session(word) is None
    assert Keys(keys, Signer(b"t"), clock=lambda: now[0]).of_session(word) is None
    now[0] += 31 * DAY
    assert door.of_session(word) is None
