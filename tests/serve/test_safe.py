"""What the server refuses whoever asks: other sites, other names, nests and floods of JSON, ways out of folders."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from painter import png
from stubs import Able

from tranh.engine.doors import Doors
from tranh.engine.jobs import Engine
from tranh.serve import logs, studio
from tranh.serve.app import Settings, create_app
from tranh.serve.desk import Desk
from tranh.serve.guard import Guard
from tranh.serve.keys import read_keys
from tranh.serve.nesting import Nesting


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with Engine(Doors()) as engine:
        desk = Desk([Able("model")], engine)
        app = create_app(desk, Settings(host="127.0.0.1", names=("draw.example",)))
        with TestClient(app, base_url="http://127.0.0.1:8000") as client:
            yield client
        desk.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:8000"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "draw.example"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": ""}, 403),
        ({"origin": "http://127.0.0.1:8000"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:9"}, 403),
        ({"origin": "http://[::1"}, 403),
        ({"origin": "null"}, 403),
    ],
    ids=str,
)
def test_who_may_ask(client: TestClient, headers: dict[str, str], status: int) -> None:
    reply = client.post("/v1/images/generations", json={"prompt": "a cat"}, headers=headers)
    assert reply.status_code == status
    assert reply.headers["content-security-policy"].startswith("default-src 'self'")
    assert reply.headers["x-content-type-options"] == "nosniff" and reply.headers["x-frame-options"] == "DENY"
    assert "access-control-allow-origin" not in reply.headers
    if status == 403:
        assert reply.json()["error"]["code"] in ("wrong_host", "wrong_origin") and reply.headers["x-request-id"]


def test_behind_a_proxy_with_tls() -> None:
    """Links, cookies and pages are of the public address, whether or not the proxy sends its Host on."""
    public, secret = "https://pictures.example.org", "a-secret-of-the-tests"
    with Engine(Doors()) as engine:
        desk = Desk([Able()], engine)
        app = create_app(desk, Settings(host="127.0.0.1", public=public, keys=read_keys([f"anna:{secret}"])))
        with TestClient(app, base_url="http://127.0.0.1:8000") as client:
            for host in ("127.0.0.1:8000", "pictures.example.org"):
                headers = {"host": host, "origin": public, "authorization": f"Bearer {secret}"}
                asked = {"prompt": "a cat", "response_format": "url"}
                reply = client.post("/v1/images/generations", json=asked, headers=headers)
                url = reply.json()["data"][0]["url"]
                assert url.startswith(f"{public}/v1/images/files/")
                assert client.get(url.removeprefix(public)).status_code == 200
                entered = client.post("/api/session", json={"key": secret}, headers=headers)
                assert "secure" in entered.headers["set-cookie"].lower()
            for other in ("http://pictures.example.org", "https://pictures.example.org:8443", "https://evil.example"):
                reply = client.post("/api/session", json={"key": secret}, headers={"origin": other})
                assert reply.status_code == 403, other
            assert client.get("/v1/models", headers={"host": "evil.example"}).status_code == 403
            own = client.post("/api/session", json={"key": secret}, headers={"origin": "http://127.0.0.1:8000"})
            assert own.status_code == 200 and "secure" not in own.headers["set-cookie"].lower()
        desk.close()


def test_where_others_listen_names_may_be_named() -> None:
    with Engine(Doors()) as engine:
        desk = Desk([Able()], engine)
        for names, host, status in (((), "any.example", 200), (("a.example",), "b.example", 403)):
            app = create_app(desk, Settings(host="0.0.0.0", names=names))
            with TestClient(app, base_url=f"http://{host}") as client:
                assert client.get("/v1/models").status_code == status
        desk.close()


def test_bodies_are_held_until_they_are_let_go_and_small_ones_always_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tranh.serve.guard.MOST_HELD", 100)
    monkeypatch.setattr("tranh.serve.guard.SMALL", 10)
    held = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        held.append(guard.held)
        scope["state"]["let_go"]()
        held.append(guard.held)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    guard = Guard(app, None)
    client = TestClient(guard)
    assert client.post("/", content=b"x" * 60).status_code == 200 and held == [60, 0] and guard.held == 0
    guard.held = 90
    assert client.post("/", content=b"x" * 60).status_code == 503 and guard.held == 90
    assert client.post("/", content=b"x" * 10).status_code == 200 and guard.held == 90


def test_a_boundary_makes_no_json_of_a_form() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    client = TestClient(Guard(app, None, most=100, most_json=10))
    for kind, status in (
        ("multipart/form-data; boundary=json", 200),
        ("application/json; charset=utf-8", 413),
        ("application/vnd.x+json", 413),
    ):
        assert client.post("/", content=b"x" * 60, headers={"content-type": kind}).status_code == status, kind


ROUTES = ("/v1/images/generations", "/api/jobs", "/api/prompt", "/api/session", "/api/images/zip", "/sdapi/v1/txt2img")


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "said",
    [
        b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"prompt": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"request": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}",
        b'{"prompt": ' + b"9" * 10_000 + b"}",
        b'{"prompt": NaN, "seed": Infinity}',
        b'{"prompt": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"request": {"prompt": "\\udfff\\u0000"}, "prompt": "\\udfff", "key": "\\udfff", "ids": ["\\udfff"]}',
        b'{"a": 1, "a": 2',
        b"\xff\xfe{",
        b"",
        b"[]",
        b'"prompt"',
        b"null",
    ],
    ids=["deep", "less deep", "deep objects", "long number", "no number", "half", "half name", "halves", "cut",
         "no utf-8", "empty", "list", "text", "null"],
)  # fmt: skip
def test_json_that_is_none(client: TestClient, route: str, said: bytes) -> None:
    reply = client.post(route, content=said, headers={"content-type": "application/json"})
    assert 400 <= reply.status_code < 500, reply.text
    assert "error" in reply.json()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(
            ["prompt", "n", "size", "seed", "model", "user", "stream", "negative_prompt", "strength", "quality"]
        ),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2),
    )
)
def test_nothing_that_is_sent_fails(client: TestClient, said: dict[str, Any]) -> None:
    reply = client.post(
        "/v1/images/generations", content=json.dumps(said), headers={"content-type": "application/json"}
    )
    assert reply.status_code < 500 and reply.status_code != 422


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60))
def test_any_text_may_be_a_prompt(client: TestClient, prompt: str) -> None:
    reply = client.post("/v1/images/generations", json={"prompt": prompt})
    broken = not prompt or any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in prompt)
    assert reply.status_code == (400 if broken else 200), reply.text


WAYS = (
    "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "..%252f..%252fetc", "%00", "a%00b",
    "/etc/passwd", "%2fetc%2fpasswd", "....//", "..\\..\\x", "%c0%ae%c0%ae/", "x" * 5000,
)  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way[:20])
def test_ways_out_of_folders(client: TestClient, way: str) -> None:
    for route in ("/v1/models/", "/api/jobs/", "/api/images/", "/api/uploads/", "/v1/images/files/", "/studio/", "/"):
        for tail in ("", "/file", "/thumb", "/events"):
            reply = client.get(f"{route}{way}{tail}")
            assert 300 <= reply.status_code < 500 and "root:" not in reply.text, f"{route}{way}{tail}"
    for field in ("image", "mask"):
        reply = client.post("/api/jobs", json={"tool": "inpaint", "request": {"prompt": "a cat", field: way}})
        assert 400 <= reply.status_code < 500


def test_no_link_leads_out_of_the_folder_of_files(tmp_path: Path) -> None:
    """A link in the place of a file, or of a folder of files, is not followed, and the next that is kept replaces it.

    What it leads to is neither read nor touched nor swept away.
    """
    outside = tmp_path / "outside"
    outside.mkdir()
    with Engine(Doors()) as engine, TestClient(create_app(desk := Desk([Able()], engine))) as client:

        def kept() -> tuple[dict[str, Any], str]:
            job = client.post("/api/jobs", json={"request": {"prompt": "a cat"}}).json()
            client.get(f"/api/jobs/{job['id']}/events")
            (image,) = client.get(f"/api/jobs/{job['id']}").json()["images"]
            return image, client.post("/api/uploads", content=png()).json()["id"]

        def check() -> None:
            desk._thumb.cache_clear()
            assert [client.get(route).status_code for route in routes] == [404] * 3
            edit = {"tool": "img2img", "request": {"prompt": "a cat", "image": sent}}
            assert client.post("/api/jobs", json=edit).status_code == 404
            desk.store.album.sweep()
            kept()
            assert [client.get(route).status_code for route in routes] == [200] * 3
            assert not [path for path in paths if path.is_symlink() or path.parent.is_symlink()]
            assert {path: path.stat().st_mtime_ns for path in outside.iterdir()} == before

        image, sent = kept()
        routes = (image["url"], image["thumb"], f"/api/uploads/{sent}/file")
        paths = [desk.store.album.blobs.path(sha256) for sha256 in (desk.picture(image["id"]).sha256, sent)]
        for path in paths:
            path.rename(outside / path.name)  # the very same bytes: nothing but the link is wrong
            path.symlink_to(outside / path.name)
        before = {path: path.stat().st_mtime_ns for path in outside.iterdir()}
        check()
        for path in paths:
            path.unlink()
            path.parent.rmdir()
            path.parent.symlink_to(outside)
        check()
        desk.close()


def test_no_part_of_an_address_names_a_file_of_the_page(client: TestClient) -> None:
    """Its files are read when the server starts: what is laid or linked there later is not served."""
    routes = {route.path for route in studio.router.routes}  # type: ignore[attr-defined]
    assert "/studio/app.js" in routes and not [route for route in routes if "{" in route]
    for way in ("..%2fstudio.py", "%2e%2e%2fstudio.py", "..%2f..%2f__init__.py", "i18n/..%2f..%2fstudio.py", "."):
        assert client.get(f"/studio/{way}").status_code == 404, way


def test_nothing_is_fetched(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("somebody was asked")

    monkeypatch.setattr("socket.create_connection", never)
    monkeypatch.setattr("socket.socket.connect", never)
    url = "http://169.254.169.254/latest/meta-data"
    assert (
        client.post("/api/jobs", json={"tool": "img2img", "request": {"prompt": "a", "image": url}}).status_code == 400
    )
    said = {"prompt": (None, "a cat"), "image": (None, url)}
    assert client.post("/v1/images/edits", files=said).json()["error"]["code"] == "invalid_image"
    assert client.post("/v1/images/edits", json={"prompt": "a cat", "image": url}).status_code == 400


def test_forms_that_are_none(client: TestClient) -> None:
    kind = {"content-type": "multipart/form-data; boundary=x"}
    part = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    for said in (
        b"", b"--x", b"--x--", b"no form", part % (b"prompt", b"a") * 200 + b"--x--",
        part % (b"prompt", b"y" * 300_000) + b"--x--", part % (b"\xff\xfe", b"\xff") + b"--x--",
        b"--x\r\nContent-Disposition: form-data\r\n\r\n\r\n--x--",
    ):  # fmt: skip
        for route in ("/v1/images/edits", "/v1/images/variations", "/v1/content_provenance_checks", "/api/uploads"):
            reply = client.post(route, content=said, headers=kind)
            assert 400 <= reply.status_code < 500 and "error" in reply.json(), (route, said[:60])
    no_boundary = client.post("/v1/images/edits", content=b"x", headers={"content-type": "multipart/form-data"})
    assert no_boundary.status_code == 400
    many = [("image", ("x", b"x"))] * 30
    assert client.post("/v1/images/edits", data={"prompt": "a"}, files=many).status_code == 400


def test_health(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ok", "models": ["model"], "store": "ok"}
    desk = client.app.state.desk  # type: ignore[attr-defined]

    def broken(**kwargs: Any) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(desk, "jobs", broken)
    reply = client.get("/readyz")
    assert reply.status_code == 503 and "OSError" in reply.json()["store"] and reply.headers["retry-after"]
    assert client.get("/healthz").status_code == 200


def test_figures(client: TestClient) -> None:
    def figures() -> dict[str, float]:
        reply = client.get("/metrics")
        assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
        lines = [line for line in reply.text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    before = figures()
    assert client.post("/v1/images/generations", json={"prompt": "a cat", "n": 2}).status_code == 200
    assert client.post("/v1/images/generations", json={"prompt": "fail"}).status_code == 500
    client.get("/api/jobs/no-such-job")
    after = figures()
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["tranh_pictures_total"] == 2
    assert grown['tranh_jobs_total{status="completed"}'] == grown['tranh_jobs_total{status="failed"}'] == 1
    route = 'method="POST",route="/v1/images/generations"'
    assert grown[f'tranh_http_requests_total{{{route},status="200"}}'] == 1
    assert grown[f"tranh_http_seconds_count{{{route}}}"] == 2
    assert {"tranh_queue", "tranh_running", "tranh_calls_total", "tranh_answered_total"} <= set(after)
    assert not any("no-such-job" in name for name in after)  # routes are templates, or there would be no end of them


def test_requests_have_ids_and_a_line_of_json(client: TestClient) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.Lines())
    logs.log.addHandler(handler)
    level = logs.log.level
    logs.log.setLevel(logging.INFO)
    try:
        kept = client.get("/v1/models", headers={"x-request-id": "mine-1"})
        made = client.get("/v1/models", headers={"x-request-id": "two lines\\n<script>"})
        client.post("/v1/images/generations?prompt=secret", json={"prompt": "a secret prompt", "seed": 1})
    finally:
        logs.log.removeHandler(handler)
        logs.log.setLevel(level)
    assert kept.headers["x-request-id"] == "mine-1" and made.headers["x-request-id"].startswith("req_")
    assert int(kept.headers["openai-processing-ms"]) >= 0
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    first = next(line for line in lines if line["message"] == "request")
    assert (first["request_id"], first["path"], first["status"], first["method"]) == (
        "mine-1",
        "/v1/models",
        200,
        "GET",
    )
    assert first["ms"] >= 0 and first["level"] == "info" and first["time"].endswith("+00:00")
    assert "secret" not in stream.getvalue() and "script" not in stream.getvalue()


def test_a_fault_of_ours_is_told_to_the_log_and_to_nobody_else(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError("inner details")

    monkeypatch.setattr(client.app.state.desk, "submit", broken)  # type: ignore[attr-defined]
    reply = client.post("/v1/images/generations", json={"prompt": "a cat"})
    assert reply.status_code == 500 and "inner" not in reply.text and reply.headers["x-should-retry"] == "false"
    assert reply.headers["content-security-policy"] and reply.headers["x-request-id"]
    assert "inner details" in caplog.text


@given(
    st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)), st.data()
)
def test_depth_is_counted_as_json_counts_it(value: Any, data: st.DataObject) -> None:
    def depth(one: Any) -> int:
        inner = one.values() if isinstance(one, dict) else one
        return 1 + max(map(depth, inner), default=0) if isinstance(one, (list, dict)) else 0

    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        said, nesting, most = text.encode("utf-8", "replace"), Nesting(), 0
        place = data.draw(st.integers(0, len(said)))
        nesting.feed(said[:place])
        nesting.feed(said[place:])
        assert nesting._depth == 0 and not nesting._quoted
        for end in range(len(said) if len(said) < 200 else 0):
            cut = Nesting()
            cut.feed(said[:end])
            most = max(most, cut._depth)
        assert len(said) >= 200 or most == depth(value)
