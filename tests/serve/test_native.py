"""The API of jobs: what is ordered is drawn, and can be watched."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from stubs import Stub

from tranh.engine.doors import Doors
from tranh.engine.jobs import Engine
from tranh.serve.app import create_app
from tranh.serve.desk import Desk


@pytest.fixture
def client() -> Iterator[TestClient]:
    with Engine(Doors()) as engine, TestClient(create_app(Desk([Stub()], engine))) as client:
        yield client


def read(text: str) -> list[tuple[int, str, dict[str, object]]]:
    found = []
    for block in text.strip().split("\n\n"):
        told = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        found.append((int(told["id"]), told["event"], json.loads(told["data"])))
    return found


def test_a_job_is_drawn_and_watched(client: TestClient) -> None:
    job = client.post("/api/jobs", json={"request": {"prompt": "a cat", "seed": 3, "count": 2}}).json()
    events = read(client.get(f"/api/jobs/{job['id']}/events").text)
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    assert events[-1][1] == "end"
    done = client.get(f"/api/jobs/{job['id']}").json()
    assert done["status"] == "completed" and done["progress"] == 100
    assert [image["seed"] for image in done["images"]] == [3, 4]
    later = read(client.get(f"/api/jobs/{job['id']}/events", headers={"Last-Event-ID": "3"}).text)
    assert later == events[3:]


def test_errors_have_one_shape(client: TestClient) -> None:
    unknown = client.post("/api/jobs", json={"model": "nothing"})
    assert unknown.status_code == 404 and unknown.json()["error"]["code"] == "model_not_found"
    refused = client.post("/api/jobs", json={"request": {"prompt": "an unknownword"}})
    assert refused.status_code == 400 and "unknownword" in refused.json()["error"]["message"]
    strange = client.post("/api/jobs", json={"sizes": 3})
    assert strange.status_code == 400 and strange.json()["error"]["param"] == "sizes"
    assert client.get("/api/jobs/none").status_code == 404
