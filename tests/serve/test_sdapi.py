"""What Open WebUI, LibreChat and SillyTavern send is answered with what they read.

Each client is written here as its source does it, call by call: see ``backend/open_webui/routers/images.py`` of
open-webui, ``StableDiffusion.js`` of LibreChat, ``src/endpoints/stable-diffusion.js`` and
``public/scripts/extensions/stable-diffusion/index.js`` of SillyTavern.
"""

from __future__ import annotations

import base64
import gc
import io
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Client
from painter import Painter, as_text, png, shown
from PIL import Image
from running import running

from tranh.engine.doors import Doors
from tranh.engine.jobs import Engine
from tranh.engine.picture import encoded
from tranh.serve.app import Settings, create_app
from tranh.serve.desk import Desk
from tranh.serve.keys import Caller, caller, read_key
from tranh.serve.sdapi.placed import taught


@pytest.fixture
def painter() -> Painter:
    return Painter()


@pytest.fixture
def client(painter: Painter) -> Iterator[TestClient]:
    other = Painter("other", sizes=(128,))
    with Engine(Doors()) as engine, TestClient(create_app(Desk([painter, other], engine))) as client:
        yield client


@pytest.fixture
def server(painter: Painter) -> Iterator[Client]:
    """The same behind a real socket."""
    with running([painter]) as found, Client(base_url=found.url) as client:
        yield client


class OpenWebUI:
    """Its calls, with ``AUTOMATIC1111_API_AUTH`` left empty as it is by default."""

    def __init__(self, client: TestClient, auth: str = "") -> None:
        self.client = client
        self.headers = {"authorization": f"Basic {base64.b64encode(auth.encode()).decode()}"}

    def verify(self) -> bool:
        return self.client.get("/sdapi/v1/options", headers=self.headers).is_success

    def models(self) -> list[dict[str, str]]:
        listed = self.client.get("/sdapi/v1/sd-models", headers=self.headers).json()
        return [{"id": model["title"], "name": model["model_name"]} for model in listed]

    def set_model(self, model: str) -> None:
        options = self.client.get("/sdapi/v1/options", headers=self.headers).json()
        if model != options["sd_model_checkpoint"]:
            options["sd_model_checkpoint"] = model
            self.client.post("/sdapi/v1/options", json=options, headers=self.headers).raise_for_status()

    def generate(self, prompt: str, n: int = 1, size: str = "512x512", **more: Any) -> list[Image.Image]:
        width, height = map(int, size.split("x"))
        data = {"prompt": prompt, "batch_size": n, "width": width, "height": height, **more}
        res = self.client.post("/sdapi/v1/txt2img", json=data, headers=self.headers).json()
        assert isinstance(res["info"], str)  # kept beside the file
        assert not any("," in image for image in res["images"])  # else the first part would be taken for a data URL
        return [shown(image) for image in res["images"]]


class LibreChat:
    """The same numbers every time; only the prompts are the user's."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def call(self, prompt: str, negative_prompt: str) -> dict[str, Any]:
        payload = {
            "prompt": prompt, "negative_prompt": negative_prompt, "cfg_scale": 4.5, "steps": 22,
            "width": 1024, "height": 1024,
        }  # fmt: skip
        data = self.client.post("/sdapi/v1/txt2img", json=payload).raise_for_status().json()
        info = json.loads(data["info"])
        image = data["images"][0].split(",", 1)[0]
        return {
            "buffer": base64.b64decode(image), "height": info["height"], "width": info["width"], "seed": info["seed"],
            "info": info["infotexts"][0].split("\n").pop(), "parameters": info["infotexts"][0],
        }  # fmt: skip


class SillyTavern:
    """The page sends all of its settings to its server, and that sends them on, address and secret too."""

    url, auth = "http://127.0.0.1:7860", "user:a-secret"

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.headers = {"authorization": f"Basic {base64.b64encode(self.auth.encode()).decode()}"}

    def get(self, name: str) -> Any:
        return self.client.get(f"/sdapi/v1/{name}", headers=self.headers).raise_for_status().json()

    def upscalers(self) -> list[str]:
        names = [x["name"] for x in self.get("upscalers")]
        names[1:1] = [x["name"] for x in self.get("latent-upscale-modes")]
        return names

    def set_model(self, model: str) -> None:
        self.client.post(
            "/sdapi/v1/options",
            content=json.dumps({"sd_model_checkpoint": model}),
            headers={"content-type": "application/json", **self.headers},
        ).raise_for_status()
        state = self.get("progress")
        assert state["progress"] == 0.0 and state["state"]["job_count"] == 0  # else it waits for the model

    def generate(self, prompt: str, **more: Any) -> Any:
        body = {
            "url": self.url, "auth": self.auth, "prompt": f"best quality, absurdres, aesthetic, {prompt}",
            "negative_prompt": "lowres, bad anatomy, bad hands, text, error, worst quality, blurry",
            "sampler_name": "DDIM", "scheduler": "normal", "steps": 20, "cfg_scale": 7, "width": 512, "height": 512,
            "restore_faces": False, "enable_hr": False, "hr_upscaler": "Latent", "hr_scale": 2.0,
            "hr_additional_modules": [], "denoising_strength": 0.7, "hr_second_pass_steps": 0,
            "override_settings": {"CLIP_stop_at_last_layers": 1}, "override_settings_restore_afterwards": True,
            "clip_skip": 1, "save_images": True, "send_images": True, "do_not_save_grid": False,
            "do_not_save_samples": False, **more,
        }  # fmt: skip
        return self.client.post("/sdapi/v1/txt2img", json=body, headers=self.headers)


def test_open_webui_verifies_lists_chooses_and_draws(client: TestClient, painter: Painter) -> None:
    webui = OpenWebUI(client)
    assert webui.verify()
    assert webui.models() == [{"id": "painter", "name": "painter"}, {"id": "other", "name": "other"}]
    pictures = webui.generate("a red circle", n=2, steps=50, negative_prompt="blue")
    assert [picture.size for picture in pictures] == [(256, 256)] * 2  # the nearest size that is made
    assert painter.asked[-1].request["steps"] == 50
    webui.set_model("other")
    assert webui.generate("a red circle")[0].size == (128, 128)
    webui.set_model("other")
    webui.set_model("painter")
    assert webui.generate("a red circle", size="48x64")[0].size == (64, 64)
    assert "guidance" not in painter.asked[-1].request  # what is not sent is the model's own


def test_librechat_reads_seed_size_and_the_last_line(client: TestClient) -> None:
    metadata = LibreChat(client).call("a red circle, 8k uhd, a big blue square", "cartoon, 3d, red square")
    picture = Image.open(io.BytesIO(metadata["buffer"]))
    assert picture.size == (metadata["width"], metadata["height"]) == (256, 256)
    assert 0 <= metadata["seed"] < 2**32
    assert f"Seed: {metadata['seed']}" in metadata["info"] and "Steps: 22" in metadata["info"]
    assert "CFG scale: 4.5" in metadata["info"] and "Size: 256x256" in metadata["info"]
    assert metadata["parameters"].startswith("a red circle, a blue square\nNegative prompt: red square\n")


def test_sillytavern_connects_and_draws(client: TestClient) -> None:
    tavern = SillyTavern(client)
    assert tavern.get("options")["sd_model_checkpoint"] == "painter" and "forge_preset" not in tavern.get("options")
    assert [x["title"] for x in tavern.get("sd-models")] == ["painter", "other"]
    assert [x["name"] for x in tavern.get("samplers")] == ["Automatic", "ddim", "dpm++"]
    assert [x["name"] for x in tavern.get("schedulers")] == ["automatic"]
    assert tavern.upscalers() == ["None"]
    assert [x["model_name"] for x in tavern.get("sd-vae")] == []
    tavern.set_model("other")
    assert tavern.get("options")["sd_model_checkpoint"] == "other"
    tavern.set_model("painter")
    reply = tavern.generate("a red circle", seed=12)
    assert reply.status_code == 200 and "a-secret" not in reply.text and tavern.url not in reply.text
    data = reply.json()
    assert shown(data["images"][0]).getpixel((9, 9)) == (12, 100, 200)
    info = json.loads(data["info"])
    assert info["seed"] == 12 and info["all_seeds"] == [12] and info["sampler_name"] == "ddim"
    assert info["notices"] == [
        "prompt: painter has no use for best, quality, absurdres, aesthetic",
        "negative_prompt: painter has no use for lowres, bad, anatomy, hands, text, error, worst, quality, blurry",
        "denoising_strength: it is of img2img, and means nothing here",
    ]
    assert info["prompt"] == "a red circle" and data["parameters"]["prompt"].startswith("best quality")
    assert data["parameters"]["seed"] == 12 and data["parameters"]["hr_upscaler"] == "Latent"


def test_what_a_client_always_sends_is_left_out_where_it_means_nothing(client: TestClient, painter: Painter) -> None:
    del painter.about["tools"]["generate"]["guidance"]
    info = json.loads(SillyTavern(client).generate("a red circle").json()["info"])
    assert "guidance" not in painter.asked[-1].request and painter.asked[-1].request["steps"] == 20
    assert "cfg_scale: painter has no use for it" in info["notices"]


@pytest.mark.parametrize(
    ("sent", "drawn"),
    [
        ("a red circle", "a red circle"),
        ("masterpiece, A Red circle , 4k", "A Red circle"),
        ("a shiny red circle", "a red circle"),
        ("a zebra, a blue square", "a blue square"),
        ("(best quality:1.2), (a red circle:1.3)", "(a red circle:1.3)"),
        ("đỏ mèo con", "đỏ mèo"),
        ("a zebra", "a zebra"),
    ],
)
def test_words_that_were_never_taught_are_left_out(sent: str, drawn: str) -> None:
    assert taught(sent, Painter()) == drawn


def test_a_prompt_that_is_mostly_unknown_is_refused(client: TestClient) -> None:
    for prompt in ("zebra", "a zebra", "majestic, golden hour"):
        reply = client.post("/sdapi/v1/txt2img", json={"prompt": prompt})
        assert reply.status_code == 400 and "is unknown" in reply.json()["detail"]
        assert reply.json().keys() == {"error", "detail", "body", "errors"}


REFUSED: list[tuple[str, Any]] = [
    ("tiling", True), ("restore_faces", True), ("enable_hr", True), ("styles", ["anime"]), ("subseed_strength", 0.5),
    ("clip_skip", 2), ("sampler_name", "DPM++ 2M Karras"), ("scheduler", "Karras"), ("eta", 0.5), ("script_name", "x"),
    ("alwayson_scripts", {"ADetailer": {}}), ("override_settings", {"sd_vae": "kl-f8"}), ("do_not_save_samples", True),
    ("refiner_checkpoint", "xl"), ("steps", 0), ("width", 0), ("seed", -2), ("batch_size", 1000), ("hm", 1),
    ("override_settings", {"CLIP_stop_at_last_layers": 2}), ("cfg_scale", "much"),
]  # fmt: skip


def test_what_cannot_be_done_is_refused_by_name(client: TestClient) -> None:
    for field, value in REFUSED:
        reply = client.post("/sdapi/v1/txt2img", json={"prompt": "a red circle", field: value})
        assert reply.status_code == 400 and reply.json().keys() == {"error", "detail", "body", "errors"}, field
        assert field in reply.json()["detail"]


def test_a_seed_draws_the_same_again_and_minus_one_does_not(client: TestClient) -> None:
    def seed(**more: Any) -> Any:
        reply = client.post("/sdapi/v1/txt2img", json={"prompt": "a red circle", **more}).json()
        return json.loads(reply["info"])["seed"], reply["images"]

    assert seed(seed=5)[1] == seed(seed=5)[1]
    assert len({seed()[0], seed(seed=-1)[0], seed(seed=None)[0]}) == 3


def test_pictures_go_into_the_gallery_and_need_not_be_sent(client: TestClient) -> None:
    asked = {"prompt": "a red circle", "send_images": False, "batch_size": 2, "n_iter": 2}
    reply = client.post("/sdapi/v1/txt2img", json=asked)
    assert reply.json()["images"] == [] and len(json.loads(reply.json()["info"])["infotexts"]) == 4
    assert len(client.get("/api/images").json()["data"]) == 4


def test_a_picture_is_drawn_again(client: TestClient, painter: Painter) -> None:
    data = png((10, 20, 30), (40, 20))
    for text in (as_text(data), f"data:image/png;base64,{as_text(data)}"):
        asked = {"prompt": "a red circle", "init_images": [text], "denoising_strength": 0.4, "width": 60, "height": 60}
        reply = client.post("/sdapi/v1/img2img", json=asked)
        assert reply.status_code == 200, reply.text
        assert shown(reply.json()["images"][0]).size == (64, 64)
        assert painter.asked[-1].tool == "img2img" and painter.asked[-1].request["strength"] == 0.4
        assert "init_images" not in reply.json()["parameters"]
    asked |= {"include_init_images": True}
    assert client.post("/sdapi/v1/img2img", json=asked).json()["parameters"]["init_images"] == [text]


def test_white_is_drawn_anew_unless_the_mask_is_inverted(client: TestClient) -> None:
    mask = Image.new("L", (32, 32))
    mask.paste(255, (0, 0, 16, 32))
    data = io.BytesIO()
    mask.save(data, "PNG")
    asked = {
        "prompt": "a red circle", "init_images": [as_text(png((1, 1, 1)))], "mask": as_text(data.getvalue()),
        "mask_blur": 4, "inpainting_fill": 0, "inpaint_full_res": True, "seed": 50,
    }  # fmt: skip
    sides = {}
    for invert in (0, 1):
        reply = client.post("/sdapi/v1/img2img", json={**asked, "inpainting_mask_invert": invert})
        assert reply.status_code == 200, reply.text
        picture = shown(reply.json()["images"][0])
        assert picture.size == (32, 32)
        sides[invert] = picture.getpixel((8, 16)), picture.getpixel((24, 16))
    assert sides == {0: ((50, 100, 200), (1, 1, 1)), 1: ((1, 1, 1), (50, 100, 200))}


def test_addresses_are_never_fetched(client: TestClient) -> None:
    for address in ("http://127.0.0.1/x.png", "https://example.org/x.png", "HTTP://a", "file:///etc/passwd"):
        for asked in ({"init_images": [address]}, {"init_images": [as_text(png())], "mask": address}):
            reply = client.post("/sdapi/v1/img2img", json={"prompt": "a red circle", **asked})
            assert reply.status_code == 400 and "never fetched" in reply.json()["detail"]
        assert client.post("/sdapi/v1/png-info", json={"image": address}).status_code == 400


def test_what_is_no_picture_is_refused(client: TestClient) -> None:
    for text in ("", "####", as_text(b"no picture"), "data:image/png;base64,"):
        reply = client.post("/sdapi/v1/img2img", json={"prompt": "a red circle", "init_images": [text]})
        assert reply.status_code == 400 and reply.json()["error"] == "invalid_image"
    for images in ([], [as_text(png())] * 2, None):
        assert client.post("/sdapi/v1/img2img", json={"prompt": "a", "init_images": images}).status_code == 400


def test_settings_inside_a_picture_are_told(client: TestClient) -> None:
    settings = {"prompt": "một con mèo đỏ", "negative_prompt": "blue", "seed": 9, "steps": 4, "guidance": 2.0}
    data = encoded(Image.new("RGB", (64, 64)), "PNG", settings)
    told = client.post("/sdapi/v1/png-info", json={"image": f"data:image/png;base64,{as_text(data)}"}).json()
    assert told["info"].startswith("một con mèo đỏ\nNegative prompt: blue\nSteps: 4") and "Seed: 9" in told["info"]
    assert told["parameters"]["Prompt"] == "một con mèo đỏ" and told["parameters"]["Seed"] == "9"
    bare = client.post("/sdapi/v1/png-info", json={"image": as_text(png())}).json()
    assert bare == {"info": "", "items": {}, "parameters": {}}


def test_the_key_is_the_password_of_basic_authentication(painter: Painter) -> None:
    secret = "a-secret-of-thirty-two-letters-x"
    with Engine(Doors()) as engine:
        app = create_app(Desk([painter], engine), Settings(keys=[read_key(f"ann:{secret}")]))
        with TestClient(app) as client:
            assert OpenWebUI(client, f"user:{secret}").generate("a red circle")[0].size == (256, 256)
            assert not OpenWebUI(client, "user:wrong").verify() and not OpenWebUI(client).verify()
            refused = client.post("/sdapi/v1/txt2img", json={"prompt": "a red circle"})
            assert refused.status_code == 401 and secret not in refused.text


def test_options_keep_what_they_can_and_refuse_the_rest(client: TestClient) -> None:
    options = client.get("/sdapi/v1/options").json()
    assert client.post("/sdapi/v1/options", json=options).status_code == 200
    for wrong in ({"sd_model_checkpoint": "nothing"}, {"sd_vae": "kl-f8"}, {"eta_ancestral": 1}):
        reply = client.post("/sdapi/v1/options", json=wrong)
        assert reply.status_code in (400, 404) and reply.json()["detail"]
    client.app.dependency_overrides[caller] = lambda: Caller("ann")  # type: ignore[attr-defined]
    client.post("/sdapi/v1/options", json={"sd_model_checkpoint": "other"})
    client.app.dependency_overrides.clear()  # type: ignore[attr-defined]
    assert client.get("/sdapi/v1/options").json()["sd_model_checkpoint"] == "painter"  # hers is hers


def waiting(client: Client) -> dict[str, Any]:
    """The progress, once a call waits."""
    for _ in range(500):
        told: dict[str, Any] = client.get("/sdapi/v1/progress").json()
        if told["state"]["job_count"] and told["state"]["sampling_step"]:
            return told
        time.sleep(0.01)
    raise AssertionError("nothing is drawn")


def test_a_strength_that_means_nothing_is_named(client: TestClient) -> None:
    for more, named in (({}, False), ({"denoising_strength": 0.7}, True)):
        reply = client.post("/sdapi/v1/txt2img", json={"prompt": "a red circle", **more}).json()
        assert any("denoising_strength" in one for one in json.loads(reply["info"])["notices"]) == named


@pytest.mark.parametrize("word", ["interrupt", "skip"])
def test_progress_is_told_and_a_call_interrupted(server: Client, painter: Painter, word: str) -> None:
    painter.pause = 0.02
    replies: list[Any] = []
    asked = {"prompt": "a red circle", "steps": 900, "batch_size": 2}
    thread = threading.Thread(target=lambda: replies.append(server.post("/sdapi/v1/txt2img", json=asked, timeout=30)))
    thread.start()
    told = waiting(server)
    assert 0 < told["progress"] < 1 and told["state"]["job_count"] == 2 and told["state"]["sampling_steps"] == 1800
    assert shown(told["current_image"]).size == (8, 8)
    assert server.get("/sdapi/v1/progress?skip_current_image=true").json()["current_image"] is None
    assert server.post(f"/sdapi/v1/{word}").json() == {}
    thread.join(10)
    assert replies[0].status_code == 409 and "interrupted" in replies[0].json()["detail"]
    idle = server.get("/sdapi/v1/progress").json()
    assert idle["progress"] == 0 and idle["state"]["job_count"] == 0 and idle["current_image"] is None


def test_who_leaves_takes_the_order_along(server: Client, painter: Painter) -> None:
    painter.pause = 0.02
    with pytest.raises(Exception, match="timed out"):
        server.post("/sdapi/v1/txt2img", json={"prompt": "a red circle", "steps": 900}, timeout=0.5)
    for _ in range(500):
        jobs = server.get("/api/jobs").json()["data"]
        if jobs and jobs[0]["status"] == "cancelled":
            break
        time.sleep(0.01)
    assert [job["status"] for job in jobs] == ["cancelled"] and jobs[0]["step"] < 900


def test_who_waits_holds_no_unpacked_pictures(server: Client, painter: Painter) -> None:
    painter.pause = 0.2
    sent = as_text(png(size=(33, 44)))
    asked = {"prompt": "a red circle", "init_images": [sent], "mask": sent, "steps": 15, "width": 64, "height": 64}
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(server.post, "/sdapi/v1/img2img", json=asked, timeout=30)
        waiting(server)
        assert not [one for one in gc.get_objects() if issubclass(type(one), Image.Image) and one.size == (33, 44)]
        assert waits.result().status_code == 200


def test_events_come_as_they_happen(server: Client, painter: Painter) -> None:
    painter.pause = 0.05
    job = server.post("/api/jobs", json={"request": {"prompt": "a red circle", "steps": 900}}).json()
    with server.stream("GET", f"/api/jobs/{job['id']}/events", timeout=10) as stream:
        lines = stream.iter_lines()
        assert any(line == "event: progress" for line in lines)  # long before the job has ended
    assert server.post(f"/api/jobs/{job['id']}/cancel").status_code == 200
