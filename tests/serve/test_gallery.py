"""Pictures over HTTP: sent, listed, fetched, marked, deleted, put together."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as some
from painter import Painter, png
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tranh.engine.doors import Doors
from tranh.engine.jobs import Engine
from tranh.engine.picture import save_picture
from tranh.serve.app import create_app
from tranh.serve.desk import Desk
from tranh.serve.names import file_name, file_names
from tranh.serve.orders import Picture


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with Engine(Doors()) as engine, TestClient(create_app(Desk([Painter()], engine))) as client:
        yield client


def made(client: TestClient, **request: Any) -> list[dict[str, Any]]:
    job = client.post("/api/jobs", json={"request": {"prompt": "a red circle", **request}}).json()
    client.get(f"/api/jobs/{job['id']}/events")
    images: list[dict[str, Any]] = client.get(f"/api/jobs/{job['id']}").json()["images"]
    return images


def test_a_picture_is_sent_as_a_form_or_as_it_is(client: TestClient) -> None:
    data = png((200, 10, 20), (40, 30))
    form = client.post("/api/uploads", files={"file": ("../x.exe", data, "text/html")})
    assert form.status_code == 201 and form.json()["width"] == 40 and form.json()["height"] == 30
    assert form.json()["settings"] is None
    body = client.post("/api/uploads", content=data, headers={"content-type": "image/png"})
    assert body.json() == form.json()
    back = client.get(f"/api/uploads/{form.json()['id']}/file")
    assert back.headers["content-type"] == "image/png"
    shown = Image.open(io.BytesIO(back.content))
    assert shown.size == (40, 30) and shown.convert("RGB").getpixel((0, 0)) == (200, 10, 20)
    assert client.get("/api/uploads/" + "0" * 64 + "/file").status_code == 404


def test_what_is_no_picture_is_refused(client: TestClient) -> None:
    for data in (b"", b"GIF89a", png()[:40], b"<svg/>"):
        reply = client.post("/api/uploads", content=data)
        assert reply.status_code == 400 and reply.json()["error"]["code"] == "invalid_image"
    missing = client.post("/api/uploads", files={"picture": png()})
    assert missing.status_code == 400 and missing.json()["error"]["param"] == "file"


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_settings_inside_a_file_are_found(client: TestClient, tmp_path: Path, suffix: str) -> None:
    settings = {"prompt": "một con mèo đỏ", "seed": 5, "steps": 8}
    path = save_picture(Image.new("RGB", (16, 16)), tmp_path / f"x{suffix}", settings)
    sent = client.post("/api/uploads", content=path.read_bytes()).json()
    assert {name: sent["settings"][name] for name in settings} == settings and sent["program"] == "Tranh"


def test_settings_of_other_programs_are_found(client: TestClient) -> None:
    told, data = PngInfo(), io.BytesIO()
    told.add_text(
        "parameters", "a red circle\nNegative prompt: blur\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 3"
    )
    Image.new("RGB", (16, 16)).save(data, "PNG", pnginfo=told)
    sent = client.post("/api/uploads", content=data.getvalue()).json()
    assert sent["program"] == "AUTOMATIC1111"
    assert sent["settings"]["prompt"] == "a red circle" and sent["settings"]["seed"] == 3


def test_pictures_are_listed_marked_and_deleted(client: TestClient) -> None:
    images = made(client, count=3, seed=20)
    first = client.get("/api/images?limit=2").json()
    assert first["data"] == images[:0:-1] and first["next"]
    second = client.get(f"/api/images?limit=2&cursor={first['next']}").json()
    assert second["data"][0] == images[0]
    id = images[1]["id"]
    assert client.get(f"/api/images/{id}").json() == images[1]
    assert client.patch(f"/api/images/{id}", json={"favourite": True}).json() == images[1] | {"favourite": True}
    assert [image["id"] for image in client.get("/api/images?favourite=true").json()["data"]] == [id]
    assert id not in [image["id"] for image in client.get("/api/images?favourite=false").json()["data"]]
    assert client.patch(f"/api/images/{id}", json={"favorite": True}).status_code == 400
    assert client.delete(f"/api/images/{id}").json() == {"id": id, "object": "image", "deleted": True}
    for path in ("", "/file", "/thumb"):
        assert client.get(f"/api/images/{id}{path}").status_code == 404
    left = client.get(f"/api/jobs/{images[0]['job']}").json()["images"]
    assert [image["index"] for image in left] == [0, 2]
    assert client.get("/api/images?cursor=nothing").status_code == 400


def test_a_file_is_kept_by_whoever_fetched_it(client: TestClient) -> None:
    image = made(client, seed=77, size=256)[0]
    file = client.get(image["url"])
    assert file.headers["content-type"] == image["mime"] == "image/png" and len(file.content) == image["bytes"]
    assert file.headers["content-disposition"] == 'inline; filename="a-red-circle-77.png"'
    assert "immutable" in file.headers["cache-control"] and "private" in file.headers["cache-control"]
    assert file.headers["x-content-type-options"] == "nosniff"
    assert Image.open(io.BytesIO(file.content)).size == (image["width"], image["height"]) == (256, 256)
    tag = file.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.get(image["url"], headers={"If-None-Match": known})
        assert again.status_code == 304 and again.content == b"" and again.headers["etag"] == tag
    assert client.get(image["url"], headers={"If-None-Match": '"other"'}).status_code == 200
    thumb = client.get(image["thumb"])
    assert thumb.headers["content-type"] == "image/webp" and thumb.headers["etag"] != tag
    small = Image.open(io.BytesIO(thumb.content))
    assert small.format == "WEBP" and max(small.size) <= 256 and len(thumb.content) < 2000
    assert client.get(image["thumb"], headers={"If-None-Match": thumb.headers["etag"]}).status_code == 304


def test_several_are_one_archive(client: TestClient) -> None:
    images = made(client, count=2, seed=1) + made(client, seed=1, size=256)
    ids = [image["id"] for image in images]
    reply = client.post("/api/images/zip", json={"ids": [*ids, ids[0]]})
    assert reply.headers["content-type"] == "application/zip" and "content-length" not in reply.headers
    archive = zipfile.ZipFile(io.BytesIO(reply.content))
    assert archive.testzip() is None
    assert archive.namelist() == ["a-red-circle-1.png", "a-red-circle-2.png", "a-red-circle-1-2.png"]
    for image, name in zip(images, archive.namelist(), strict=True):
        assert archive.read(name) == client.get(image["url"]).content
        assert archive.getinfo(name).external_attr >> 16 == 0o644
    assert client.post("/api/images/zip", json={"ids": []}).status_code == 400
    assert client.post("/api/images/zip", json={"ids": [ids[0], "nothing"]}).status_code == 404


def picture(prompt: object, seed: int = 0) -> Picture:
    return Picture("i", "j", 0, "s", "image/png", 1, 1, 1, seed, {"prompt": prompt}, 0.0)


def test_names_of_files_say_prompt_and_seed() -> None:
    assert file_name(picture("Một con mèo đỏ!", 7)) == "mot-con-meo-do-7.png"
    assert file_name(picture("../../etc/passwd")) == "etc-passwd-0.png"
    assert file_name(picture("猫")) == "tranh-0.png"


@given(some.lists(some.tuples(some.text(), some.integers(0, 3)), max_size=8))
def test_names_of_files_are_safe_and_differ(prompts: list[tuple[str, int]]) -> None:
    names = list(file_names([picture(prompt, seed) for prompt, seed in prompts]))
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]*\.png", name) and len(name) <= 90 for name in names)
