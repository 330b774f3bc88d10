"""A disk without room, over HTTP: each client is told in its own shape, nothing is left, and later there is room."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from painter import Painter, png

from tranh.engine.doors import Doors
from tranh.engine.jobs import Engine
from tranh.serve.app import create_app
from tranh.serve.desk import Desk
from tranh.serve.faults import arm


@pytest.fixture
def client() -> Iterator[TestClient]:
    with Engine(Doors()) as engine:
        desk = Desk([Painter()], engine)
        with TestClient(create_app(desk)) as client:
            yield client
        desk.close()


def kept(client: TestClient) -> tuple[list[str], list[str], list[str]]:
    """Jobs that did not fail, pictures, and files."""
    jobs = [job["id"] for job in client.get("/api/jobs").json()["data"] if job["status"] != "failed"]
    files = sorted(path.name for path in client.app.state.desk.store.album.blobs.files())  # type: ignore[attr-defined]
    return jobs, [image["id"] for image in client.get("/api/images").json()["data"]], files


def check(reply: Response) -> None:
    said = reply.json()
    assert reply.status_code == 507 and reply.headers["x-should-retry"] == "false", reply.text
    if reply.request.url.path.startswith("/sdapi"):
        assert said["error"] == "insufficient_storage" and "full" in said["detail"]
    else:
        error = said["error"]
        assert (error["type"], error["code"], error["param"]) == ("server_error", "insufficient_storage", None)
        assert "full" in error["message"] and said.keys() == {"error"}


DRAW: dict[str, Any] = {"prompt": "a red circle"}
SENT: dict[str, Any] = {"files": {"file": png()}}
EDIT: dict[str, Any] = {"files": {"image": png()}, "data": DRAW}


@pytest.mark.parametrize(
    ("route", "sent", "point"),
    [
        ("/api/jobs", {"json": {"request": DRAW}}, "insert.done"),
        ("/v1/images/generations", {"json": DRAW}, "insert.done"),
        ("/v1/images/generations", {"json": DRAW}, "blob.half"),
        ("/v1/images/generations", {"json": DRAW}, "finish.pictures"),
        ("/v1/images/edits", EDIT, "blob.half"),
        ("/sdapi/v1/txt2img", {"json": DRAW}, "insert.done"),
        ("/sdapi/v1/txt2img", {"json": DRAW}, "blob.half"),
        ("/api/uploads", SENT, "blob.written"),
        ("/api/uploads", SENT, "add.done"),
        ("/api/uploads", {"content": png()}, "*"),
    ],
)
def test_a_full_disk_is_told_and_leaves_nothing(
    client: TestClient, route: str, sent: dict[str, Any], point: str
) -> None:
    arm(f"{point}:1:full")
    try:
        reply = client.post(route, **sent)
    finally:
        arm("")
    check(reply)
    assert kept(client) == ([], [], []) and client.get("/readyz").status_code == 200
    assert client.post(route, **sent).is_success, "there is room again"


def test_a_stream_tells_of_a_full_disk(client: TestClient) -> None:
    arm("blob.half:1:full")
    try:
        text = client.post("/v1/images/generations", json=DRAW | {"stream": True}).text
    finally:
        arm("")
    assert text.count("event: ") == 1 and "event: error" in text and "insufficient_storage" in text
    assert kept(client) == ([], [], [])
    assert (
        "event: image_generation.completed" in client.post("/v1/images/generations", json=DRAW | {"stream": True}).text
    )


def test_a_job_whose_pictures_find_no_room_has_failed_and_can_be_retried(client: TestClient) -> None:
    arm("blob.half:2:full")
    try:
        job = client.post("/api/jobs", json={"request": DRAW | {"count": 2}}).json()
        events = client.get(f"/api/jobs/{job['id']}/events").text
    finally:
        arm("")
    failed = client.get(f"/api/jobs/{job['id']}").json()
    assert failed["status"] == "failed" and failed["error"]["code"] == "insufficient_storage" and not failed["images"]
    assert "event: image" not in events and events.count("event: end") == 1 and kept(client) == ([], [], [])
    again = client.post(f"/api/jobs/{job['id']}/retry").json()["id"]
    client.get(f"/api/jobs/{again}/events")
    done = client.get(f"/api/jobs/{again}").json()
    assert done["status"] == "completed" and [client.get(one["url"]).status_code for one in done["images"]] == [200] * 2


@pytest.mark.parametrize(("route", "sent"), [("/api/uploads", SENT), ("/v1/images/edits", EDIT)])
def test_a_form_that_finds_no_room_while_it_is_read(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, route: str, sent: dict[str, Any]
) -> None:
    """Large files of a form lie in the folder of temporary files until they are read."""

    class Full(SpooledTemporaryFile[bytes]):
        def rollover(self) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("starlette.formparsers.MultiPartParser.spool_max_size", 10)
    with monkeypatch.context() as full:
        full.setattr("starlette.formparsers.SpooledTemporaryFile", Full)
        check(client.post(route, **sent))
    assert kept(client) == ([], [], [])
    assert client.post(route, **sent).is_success
