"""The API of jobs: what is ordered is drawn, can be watched from anywhere, stopped, and asked for again."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from painter import Painter, png
from PIL import Image
from running import running
from stubs import Stub

from tranh.engine.doors import Doors
from tranh.engine.jobs import Engine
from tranh.serve.app import create_app
from tranh.serve.desk import Desk
from tranh.serve.keys import Caller, caller
from tranh.serve.orders import Order, Work


@pytest.fixture
def painter() -> Painter:
    return Painter()


@pytest.fixture
def client(painter: Painter) -> Iterator[TestClient]:
    with Engine(Doors()) as engine, TestClient(create_app(Desk([painter, Stub()], engine))) as client:
        yield client


def read(text: str) -> list[tuple[int, str, dict[str, Any]]]:
    found = []
    for block in text.strip().split("\n\n"):
        told = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if told:
            found.append((int(told["id"]), told["event"], json.loads(told["data"])))
    return found


def ended(client: TestClient, job: dict[str, Any]) -> dict[str, Any]:
    client.get(f"/api/jobs/{job['id']}/events")
    told: dict[str, Any] = client.get(f"/api/jobs/{job['id']}").json()
    return told


def order(client: TestClient, **request: Any) -> dict[str, Any]:
    reply = client.post("/api/jobs", json={"request": {"prompt": "a red circle", **request}})
    assert reply.status_code == 202, reply.text
    told: dict[str, Any] = reply.json()
    return told


def test_a_job_is_drawn_and_watched(client: TestClient) -> None:
    job = order(client, seed=3, count=2)
    assert job["object"] == "job" and job["status"] in ("queued", "in_progress", "completed")
    reply = client.get(f"/api/jobs/{job['id']}/events")
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["x-accel-buffering"] == "no" and reply.headers["cache-control"] == "no-cache"
    events = read(reply.text)
    numbers = [number for number, _, _ in events]
    assert numbers == sorted(set(numbers)) and events[-1][1] == "end"
    states = [data for _, kind, data in events if kind == "job"]
    assert states[-1]["status"] == "completed" and states[-1].keys() == job.keys()
    images = [data for _, kind, data in events if kind == "image"]
    done = client.get(f"/api/jobs/{job['id']}").json()
    assert images == done["images"] and [image["seed"] for image in images] == [3, 4]
    assert done["status"] == "completed" and done["progress"] == 100 and done["error"] is None
    assert done["request"] == {"prompt": "a red circle", "seed": 3, "count": 2}
    for _, kind, data in events:
        if kind == "progress":
            assert data.keys() == {"step", "steps", "progress", "eta_s", "queue_position"}
            assert 0 <= data["progress"] <= 99 and data["step"] <= data["steps"] == 8


def test_what_was_missed_is_told_again(client: TestClient) -> None:
    job = order(client)
    ended(client, job)
    events = read(client.get(f"/api/jobs/{job['id']}/events").text)
    middle = events[len(events) // 2][0]
    missed = [each for each in events if each[0] > middle]
    assert read(client.get(f"/api/jobs/{job['id']}/events", headers={"Last-Event-ID": str(middle)}).text) == missed
    assert read(client.get(f"/api/jobs/{job['id']}/events?after={middle}").text) == missed


def test_no_number_keeps_a_line_open_after_the_end(client: TestClient) -> None:
    job = order(client)
    ended(client, job)
    path = f"/api/jobs/{job['id']}/events"
    last = read(client.get(path).text)[-1]
    for seen in (last[0], 10**15):
        assert [told[1:] for told in read(client.get(f"{path}?after={seen}").text)] == [last[1:]]
    assert read(client.get(path, headers={"Last-Event-ID": str(last[0])}).text)[0][1:] == last[1:]
    for wrong in ("-1", "9" * 20, "x"):
        assert client.get(f"{path}?after={wrong}").status_code == 400


def test_a_quiet_line_is_kept_open(client: TestClient, painter: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tranh.serve.events.KEEP_ALIVE", 0.02)
    painter.pause = 0.1
    text = client.get(f"/api/jobs/{order(client, steps=2)['id']}/events").text
    assert "\n: keep-alive\n" in f"\n{text}" and read(text)[-1][1] == "end"


def test_previews_are_pictures(client: TestClient, painter: Painter) -> None:
    painter.pause = 0.05
    events = read(client.get(f"/api/jobs/{order(client)['id']}/events").text)
    previews = [data for _, kind, data in events if kind == "preview"]
    assert previews and all(data.keys() == {"b64_json", "index"} for data in previews)
    assert previews[0]["b64_json"].startswith("iVBOR")  # the first bytes of every PNG


def test_a_job_is_stopped_asked_for_again_and_forgotten(client: TestClient, painter: Painter) -> None:
    painter.pause = 0.05
    job = order(client, steps=100)
    assert client.post(f"/api/jobs/{job['id']}/cancel").status_code == 200
    assert ended(client, job)["status"] == "cancelled"
    painter.pause = 0.0
    again = client.post(f"/api/jobs/{job['id']}/retry")
    assert again.status_code == 202 and again.json()["id"] != job["id"]
    assert again.json()["request"] == job["request"]
    assert ended(client, again.json())["status"] == "completed"
    assert client.post(f"/api/jobs/{again.json()['id']}/cancel").json()["status"] == "completed"
    gone = client.delete(f"/api/jobs/{job['id']}")
    assert gone.json() == {"id": job["id"], "object": "job", "deleted": True}
    assert client.get(f"/api/jobs/{job['id']}").status_code == 404
    assert client.get(f"/api/jobs/{job['id']}/events").status_code == 404
    assert client.delete(f"/api/jobs/{job['id']}").status_code == 404


def test_jobs_come_in_pages(client: TestClient) -> None:
    made = [order(client, seed=k)["id"] for k in range(5)]
    for id in made:
        ended(client, {"id": id})
    found: list[str] = []
    page: dict[str, Any] = {"next": None}
    while True:
        page = client.get("/api/jobs", params={"limit": 2} | ({"cursor": page["next"]} if page["next"] else {})).json()
        found += [job["id"] for job in page["data"]]
        if page["next"] is None:
            break
    assert found == made[::-1]
    assert len(client.get("/api/jobs?status=completed").json()["data"]) == 5
    assert client.get("/api/jobs?status=failed").json() == {"object": "list", "data": [], "next": None}
    assert client.get("/api/jobs?status=lost").status_code == 400
    assert client.get("/api/jobs?limit=0").status_code == 400


def test_the_same_key_gives_the_same_job(client: TestClient) -> None:
    sent = {"json": {"request": {"prompt": "a red circle"}}, "headers": {"Idempotency-Key": "one"}}
    assert client.post("/api/jobs", **sent).json()["id"] == client.post("/api/jobs", **sent).json()["id"]  # type: ignore[arg-type]
    assert order(client)["id"] != client.post("/api/jobs", **sent).json()["id"]  # type: ignore[arg-type]


class Held(Stub):
    """A stub that takes its time to say whether it can do an order."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.gate = threading.Semaphore(0), threading.Event()

    def ready(self, order: Order, pictures: Callable[[str], Image.Image]) -> Work:
        self.asked.release()
        assert self.gate.wait(20)
        return super().ready(order, pictures)


def test_the_job_of_who_left_before_the_answer_goes_on_and_is_found_by_its_key() -> None:
    """The client comes again while its first order is still looked at, leaves again, and asks a third time."""
    model, said = Held(), json.dumps({"request": {"prompt": "a cat", "seed": 5, "count": 2}})
    head = {"Content-Type": "application/json", "Idempotency-Key": "once"}
    with running([model]) as server, httpx2.Client(base_url=server.url) as client:
        for _ in range(2):
            with socket.create_connection(server.address) as leaving:
                lines = "".join(f"{k}: {v}\r\n" for k, v in {**head, "Content-Length": len(said)}.items())
                leaving.sendall(f"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n{said}".encode())
                assert model.asked.acquire(timeout=20)
        until = time.monotonic() + 20
        while server.patience.taken:
            assert time.monotonic() < until, "the server has not seen them leave"
            time.sleep(0.01)
        model.gate.set()
        ids = {client.post("/api/jobs", content=said, headers=head).json()["id"] for _ in range(2)}
        (id,) = ids
        assert read(client.get(f"/api/jobs/{id}/events").text)[-1][1] == "end"
        (job,) = client.get("/api/jobs").json()["data"]
        assert (job["id"], job["status"], job["attempts"], model.begun) == (id, "completed", 1, 1)
        files = [client.get(image["url"]).content for image in job["images"]]
        assert [Image.open(io.BytesIO(file)).getpixel((0, 0)) for file in files] == [(5, 5, 4), (5, 6, 4)]


def test_pictures_are_named_by_the_ids_of_uploads_and_of_images(client: TestClient) -> None:
    upload = client.post("/api/uploads", content=png((1, 2, 3))).json()
    first = client.post("/api/jobs", json={"tool": "img2img", "request": {"prompt": "a", "image": upload["id"]}})
    assert first.json()["request"]["image"] == upload["id"]
    image = ended(client, first.json())["images"][0]
    second = client.post("/api/jobs", json={"tool": "img2img", "request": {"prompt": "a", "image": image["id"]}})
    assert second.json()["request"]["image"] == image["id"]  # and not how the desk names it
    assert client.get("/api/jobs").json()["data"][0]["request"]["image"] == image["id"]
    assert client.get(f"/api/jobs/{second.json()['id']}").json()["request"]["image"] == image["id"]
    assert ended(client, second.json())["status"] == "completed"
    for wrong in ("nothing", "0" * 64, "../../etc/passwd", "a\0b"):
        reply = client.post("/api/jobs", json={"tool": "img2img", "request": {"prompt": "a", "image": wrong}})
        assert reply.status_code in (400, 404), wrong


def test_nobody_sees_what_is_another_s(client: TestClient) -> None:
    owners: dict[str, Any] = client.app.dependency_overrides  # type: ignore[attr-defined]
    owners[caller] = lambda: Caller("ann")
    job = ended(client, order(client))
    image = job["images"][0]["id"]
    upload = client.post("/api/uploads", content=png()).json()["id"]
    owners[caller] = lambda: Caller("ben")
    for path in (f"jobs/{job['id']}", f"jobs/{job['id']}/events", f"images/{image}", f"images/{image}/file"):
        assert client.get(f"/api/{path}").status_code == 404, path
    assert client.get(f"/api/images/{image}/thumb").status_code == 404
    assert client.get(f"/api/uploads/{upload}/file").status_code == 404
    assert client.post(f"/api/jobs/{job['id']}/cancel").status_code == 404
    assert client.post("/api/images/zip", json={"ids": [image]}).status_code == 404
    assert client.patch(f"/api/images/{image}", json={"favourite": True}).status_code == 404
    assert client.get("/api/jobs").json()["data"] == client.get("/api/images").json()["data"] == []
    for named in (image, upload):
        sent = client.post("/api/jobs", json={"tool": "img2img", "request": {"prompt": "a", "image": named}})
        assert sent.status_code in (400, 404)


def test_pictures_are_paid_for_before_they_are_ordered(client: TestClient) -> None:
    paid: list[int] = []
    client.app.dependency_overrides[caller] = lambda: Caller("ann", paid.append)  # type: ignore[attr-defined]
    job = order(client, count=3)
    client.post(f"/api/jobs/{job['id']}/retry")
    client.post("/api/jobs", json={"model": "nothing", "request": {"prompt": "a"}})
    assert paid == [3, 3]


def test_errors_have_one_shape(client: TestClient) -> None:
    unknown = client.post("/api/jobs", json={"model": "nothing"})
    assert unknown.status_code == 404 and unknown.json()["error"]["code"] == "model_not_found"
    refused = client.post("/api/jobs", json={"model": "stub", "request": {"prompt": "an unknownword"}})
    assert refused.status_code == 400 and "unknownword" in refused.json()["error"]["message"]
    strange = client.post("/api/jobs", json={"sizes": 3})
    assert strange.status_code == 400 and strange.json()["error"]["param"] == "sizes"
    assert client.get("/api/jobs/none").status_code == 404


@pytest.mark.parametrize("text", [r"a\u0000b", r"a\ud800b"])
def test_texts_that_cannot_be_kept_are_refused(client: TestClient, text: str) -> None:
    for request in ('{"prompt": "%s"}', '{"prompt": "a", "%s": 1}', '{"prompt": "a", "seeds": [{"x": "%s"}]}'):
        body = '{"model": "stub", "request": %s}' % (request % text)
        reply = client.post("/api/jobs", content=body, headers={"content-type": "application/json"})
        assert reply.status_code == 400 and reply.json()["error"]["code"] == "invalid_value", reply.text
    deep = '{"request": {"prompt": %s}}' % ("[" * 100_000 + "]" * 100_000)
    assert client.post("/api/jobs", content=deep, headers={"content-type": "application/json"}).status_code == 400


def test_a_failure_of_the_server_is_told_without_details(client: TestClient) -> None:
    reply = client.post("/api/jobs", json={"model": "stub", "request": {"prompt": "please fail"}})
    job = ended(client, reply.json())
    assert job["status"] == "failed" and job["error"]["type"] == "server_error"
    assert "secret" not in json.dumps(job)


def test_every_reply_has_a_schema(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    begun = time.monotonic()
    checked = 0
    for path, operations in schema["paths"].items():
        if not path.startswith(("/api/", "/sdapi/")):
            continue
        for method, operation in operations.items():
            good = [answer for code, answer in operation["responses"].items() if code.startswith("2")]
            assert good and operation["summary"] and operation.get("description"), (method, path)
            for answer in good:
                assert answer["content"] and all(body != {"schema": {}} for body in answer["content"].values()), path
            checked += 1
    assert checked > 25 and time.monotonic() - begun < 5
