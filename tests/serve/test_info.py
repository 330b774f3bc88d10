"""What the server says it can do, of a real model with tiny random weights; and that it does it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from painter import Painter, as_text, png, shown
from PIL import Image

from tranh.data.scenes.layout import scene
from tranh.data.scenes.source import LANGUAGES, say
from tranh.engine.doors import Doors
from tranh.engine.jobs import Engine
from tranh.families.glide import Glide
from tranh.recipes.served import Served
from tranh.recipes.system import System, assemble
from tranh.serve.app import create_app
from tranh.serve.desk import Desk
from tranh.serve.models import Drawing
from tranh.text.tokenizer import Tokenizer
from tranh.text.words import Words


@pytest.fixture(scope="module")
def system() -> System:
    captions = [say(scene("one", "train", i), language, "dense", i)[0] for i in range(60) for language in LANGUAGES]
    assets = {"tokenizer.json": Tokenizer.train(captions).save(), "words.json": Words.count(captions).save()}
    tokenizer = Tokenizer.load(assets["tokenizer.json"])
    torch.manual_seed(0)
    family = Glide(
        vocab=len(tokenizer), max_len=tokenizer.max_length, text_dim=32, text_depth=1, text_heads=2, image_size=16,
        fold=2, widths=[32, 64],
    )  # fmt: skip
    torch.nn.init.normal_(family.unet.net.conv_out.weight, std=0.05)
    made: System = assemble({"glide": family.eval()}, assets, {"name": "tiny", "steps": 2})
    return made


@pytest.fixture(scope="module")
def client(system: System) -> Iterator[TestClient]:
    doors = Doors()
    with (
        Engine(doors) as engine,
        TestClient(create_app(Desk([Drawing(Served(system, doors)), Painter()], engine))) as client,
    ):
        yield client


def fields(client: TestClient, tool: str) -> dict[str, dict[str, Any]]:
    tools = {each["id"]: each for each in client.get("/api/tools").json()["data"]}
    return {field["name"]: field for field in tools[tool]["fields"]}


def test_tools_are_listed_with_what_they_are_told(client: TestClient) -> None:
    tools = {each["id"]: each for each in client.get("/api/tools").json()["data"]}
    assert tools["generate"]["models"] == ["tiny", "painter"] and tools["generate"]["gives"] == "pictures"
    assert tools["generate"]["title"].keys() == {"en", "vi"}
    assert "upscale" not in tools or tools["upscale"]["models"] == ["tiny"]
    assert all(tool["models"] for tool in tools.values())
    generate = fields(client, "generate")
    assert generate["prompt"]["needed"] and generate["prompt"]["kind"] == "text"
    assert generate["size"]["choices"] == [16] and generate["size"]["models"] == ["tiny", "painter"]
    assert set(generate["sampler"]["choices"]) == {"ddpm", "ddim", "euler", "heun", "dpm++"}
    assert generate["steps"]["default"] == 2 and generate["seed"]["low"] == 0
    assert "temperature" not in generate or generate["temperature"]["models"] == ["painter"]
    assert fields(client, "inpaint")["mask"] | {"models": []} == {
        "name": "mask", "kind": "mask", "default": None, "low": None, "high": None, "choices": [], "needed": True,
        "many": 0, "models": [],
    }  # fmt: skip


def test_models_are_listed(client: TestClient) -> None:
    models = client.get("/api/models").json()["data"]
    assert [(model["id"], model["default"]) for model in models] == [("tiny", True), ("painter", False)]
    assert models[0]["about"]["sizes"] == [16] and models[0]["about"]["steps"] == 2
    assert "prompt" in models[0]["about"]["tools"]["generate"]


def test_a_prompt_is_read_without_being_drawn(client: TestClient) -> None:
    good = client.post("/api/prompt", json={"prompt": "A red circle"}).json()
    assert good["understood"] == "a red circle" and good["language"] == "en" and good["unknown"] == []
    wrong = client.post("/api/prompt", json={"prompt": "a red circel"}).json()
    assert [word["word"] for word in wrong["unknown"]] == ["circel"] and "circle" in wrong["unknown"][0]["near"]
    assert client.post("/api/prompt", json={"prompt": "một hình tròn đỏ"}).json()["language"] == "vi"
    assert client.post("/api/prompt", json={"prompt": "   "}).status_code == 400
    assert client.post("/api/prompt", json={"prompt": "a", "model": "nothing"}).status_code == 404


def test_an_order_draws_what_the_library_draws(client: TestClient, system: System) -> None:
    request = {"prompt": "a red circle", "seed": 7, "count": 2, "sampler": "ddim"}
    job = client.post("/api/jobs", json={"request": request}).json()
    client.get(f"/api/jobs/{job['id']}/events")
    images = client.get(f"/api/jobs/{job['id']}").json()["images"]
    for image, own in zip(images, system.generate("a red circle", seed=7, count=2, sampler="ddim"), strict=True):
        drawn = Image.open(io.BytesIO(client.get(image["url"]).content)).convert("RGB")
        assert np.abs(np.asarray(drawn).astype(int) - np.asarray(own).astype(int)).max() <= 1
    status = client.get("/api/status").json()
    assert status["calls"] > 0 and status["answered"] >= status["calls"] and status["running"] == status["queued"] == 0


def test_what_is_wrong_with_an_order_is_told_by_field(client: TestClient) -> None:
    for request, param in (
        ({"prompt": "a red circle", "steps": 0}, "steps"),
        ({"prompt": "a red circle", "colour": 3}, "colour"),
        ({"prompt": "a red circle", "count": "many"}, "count"),
        ({}, "prompt"),
    ):
        reply = client.post("/api/jobs", json={"request": request})
        assert reply.status_code == 400 and reply.json()["error"]["param"] == param, reply.text
    for request in (
        {"prompt": "a red circle", "seeds": 5},
        {"prompt": "a red circle", "size": 17},
        {"prompt": "zebra"},
    ):
        assert client.post("/api/jobs", json={"request": request}).status_code == 400
    assert client.post("/api/jobs", json={"tool": "dance", "request": {}}).status_code == 400


def test_clients_of_web_uis_get_the_size_that_is_made(client: TestClient) -> None:
    asked = {
        "prompt": "best quality, a red circle", "negative_prompt": "lowres, blurry", "cfg_scale": 4.5, "steps": 3,
        "width": 1024, "height": 1024, "sampler_name": "DDIM", "scheduler": "normal", "seed": 11,
    }  # fmt: skip
    data = client.post("/sdapi/v1/txt2img", json=asked).json()
    info = json.loads(data["info"])
    assert shown(data["images"][0]).size == (info["width"], info["height"]) == (16, 16)
    assert info["seed"] == 11 and info["steps"] == 3 and info["cfg_scale"] == 4.5 and info["sampler_name"] == "ddim"
    assert info["prompt"] == "a red circle" and any("best, quality" in notice for notice in info["notices"])
    assert [each["name"] for each in client.get("/sdapi/v1/samplers").json()][:2] == ["Automatic", "ddpm"]
    assert client.post("/sdapi/v1/txt2img", json={"prompt": "zebra xylophone"}).status_code == 400


def test_what_is_outside_of_a_mask_stays(client: TestClient) -> None:
    mask = Image.new("RGB", (40, 40))
    mask.paste((255, 255, 255), (0, 0, 20, 40))
    data = io.BytesIO()
    mask.save(data, "PNG")
    sent = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    image = io.BytesIO()
    Image.fromarray(sent).save(image, "PNG")
    asked = {"prompt": "a red circle", "init_images": [as_text(image.getvalue())], "mask": as_text(data.getvalue())}
    reply = client.post("/sdapi/v1/img2img", json={**asked, "steps": 2})
    assert reply.status_code == 200, reply.text
    drawn = np.asarray(shown(reply.json()["images"][0]))
    assert np.array_equal(drawn[:, 20:], sent[:, 20:]) and not np.array_equal(drawn[:, :20], sent[:, :20])
    upload = client.post("/api/uploads", content=base64.b64decode(as_text(png((0, 0, 0), (16, 16))))).json()["id"]
    black = {"prompt": "a red circle", "image": upload, "mask": upload}
    job = client.post("/api/jobs", json={"tool": "inpaint", "request": black}).json()
    client.get(f"/api/jobs/{job['id']}/events")
    failed = client.get(f"/api/jobs/{job['id']}").json()
    assert failed["status"] == "failed" and "white" in failed["error"]["message"]


def test_a_text_that_no_picture_s_file_holds_is_refused_before_it_is_drawn(client: TestClient) -> None:
    for request, field in (
        ({"prompt": "a red circle " * 500}, "prompt"),
        ({"prompt": "a red circle", "negative_prompt": "a blue square " * 1000}, "negative_prompt"),
    ):
        reply = client.post("/api/jobs", json={"request": request})
        error = reply.json()["error"]
        assert (reply.status_code, error["code"], error["param"]) == (400, "string_above_max_length", field)
