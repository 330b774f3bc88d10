"""The Images API, spoken by the real client with strict validation: sync, async, streaming, and every error."""

from __future__ import annotations

import asyncio
import base64
import gc
import io
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import openai
import pytest
from PIL import Image
from running import Running, running, until
from stubs import Able

from tranh.serve.app import Settings
from tranh.serve.keys import read_keys
from tranh.serve.orders import ENDS, Refused
from tranh.serve.uploads import Upload

KEY = "a-secret-of-the-tests"


def png(image: Image.Image | None = None, kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    (image or Image.new("RGB", (64, 64), "red")).save(data, kind)
    return data.getvalue()


def picture(data: str | None) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(str(data))))


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running([Able("first"), Able("of/many parts", 0.01, ("generate",))]) as found:
        yield found


def client_of(server: Running, **more: Any) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{server.url}/v1", api_key=KEY, _strict_response_validation=True, **({"max_retries": 0} | more)
    )


@pytest.fixture
def client(server: Running) -> Iterator[openai.OpenAI]:
    with client_of(server) as found:
        yield found


def test_generate(client: openai.OpenAI) -> None:
    reply = client.images.generate(
        prompt="a red circle", n=2, size="64x64", user="me", extra_body={"seed": 7, "steps": 3}
    )
    assert len(reply.data) == 2 and reply.size == "64x64" and reply.output_format == "png"
    assert [picture(one.b64_json).getpixel((0, 0)) for one in reply.data] == [(12, 7, 3), (12, 8, 3)]
    assert [one.seed for one in reply.data] == [7, 8]
    assert reply.model_extra["seed"] == 7 and reply.model_extra["num_inference_steps"] == 3
    assert reply.usage.input_tokens == 3 and reply.usage.output_tokens == 2 * 64
    assert reply.safety_identifier == "me"


def test_every_option_may_be_null(client: openai.OpenAI) -> None:
    names = (
        "model", "n", "size", "quality", "style", "response_format", "background", "moderation", "output_format",
        "output_compression", "stream", "partial_images", "user",
    )  # fmt: skip
    more = dict.fromkeys(
        ("seed", "steps", "num_inference_steps", "guidance_scale", "negative_prompt", "strength", "svg")
    )
    reply = client.images.generate(prompt="a cat", extra_body=dict.fromkeys(names) | more)
    assert len(reply.data) == 1


def test_what_means_the_default_is_taken(client: openai.OpenAI) -> None:
    for said in (
        {"quality": "auto", "style": "vivid", "background": "auto", "moderation": "auto", "size": "auto"},
        {"quality": "standard", "background": "opaque", "moderation": "low", "output_format": "png", "n": 1},
        {"partial_images": 0, "stream": False, "output_compression": 100, "response_format": "b64_json"},
    ):
        assert client.images.generate(prompt="a cat", **said).data


def test_without_a_seed_no_two_are_alike(client: openai.OpenAI) -> None:
    seeds = {client.images.generate(prompt="a cat").data[0].seed for _ in range(4)}
    assert len(seeds) == 4


def test_quality_is_steps(client: openai.OpenAI) -> None:
    for quality, steps in {"low": 2, "high": 8, "max": 16}.items():
        reply = client.images.generate(prompt="a cat", quality=quality, extra_body={"seed": 0})
        assert reply.quality == quality and picture(reply.data[0].b64_json).getpixel((0, 0)) == (5, 0, steps)
    assert client.images.generate(prompt="a cat", quality="hd").quality == "high"


@pytest.mark.parametrize("kind", ["jpeg", "webp", "png"])
def test_formats(client: openai.OpenAI, kind: Any) -> None:
    reply = client.images.generate(prompt="a cat", output_format=kind)
    assert reply.output_format == kind and picture(reply.data[0].b64_json).format == kind.upper()
    if kind != "png":
        small = client.images.generate(prompt="a cat", output_format=kind, output_compression=5)
        assert small.data


@pytest.mark.parametrize(
    ("said", "param", "code"),
    [
        ({"background": "transparent"}, "background", "unsupported_parameter"),
        ({"output_format": "gif"}, "output_format", "unsupported_parameter"),
        ({"output_format": "svg"}, "output_format", "unsupported_parameter"),
        ({"svg": {"model": "x", "reasoning": {"effort": "low"}}}, "svg", "unsupported_parameter"),
        ({"frame_count": 4}, "frame_count", "unsupported_parameter"),
        ({"frame_duration_ms": 40}, "frame_duration_ms", "unsupported_parameter"),
        ({"complexity": "high"}, "complexity", "unsupported_parameter"),
        ({"style": "natural"}, "style", "unsupported_parameter"),
        ({"scheduler": "ddim"}, "scheduler", "unsupported_parameter"),
        ({"strength": 0.5}, "strength", "unsupported_parameter"),
        ({"input_fidelity": "high"}, "input_fidelity", "unknown_parameter"),
        ({"sampler_index": "x"}, "sampler_index", "unknown_parameter"),
        ({"size": "1024x1024"}, "size", "invalid_size"),
        ({"size": "64x32"}, "size", "invalid_size"),
        ({"size": "large"}, "size", "invalid_size"),
        ({"size": "0x0"}, "size", "invalid_size"),
        ({"n": 0}, "n", "invalid_value"),
        ({"n": 11}, "n", "invalid_value"),
        ({"n": "2"}, "n", "invalid_value"),
        ({"seed": -1}, "seed", "invalid_value"),
        ({"seed": 1.5}, "seed", "invalid_value"),
        ({"quality": "best"}, "quality", "invalid_value"),
        ({"guidance_scale": 1e9}, "guidance_scale", "invalid_value"),
        ({"steps": 3, "num_inference_steps": 4}, "steps", "invalid_value"),
        ({"cfg_scale": 3, "guidance_scale": 4}, "cfg_scale", "invalid_value"),
        ({"partial_images": 2}, "partial_images", "invalid_value"),
        ({"output_compression": 50}, "output_compression", "invalid_value"),
        ({"stream": True, "response_format": "url"}, "response_format", "unsupported_parameter"),
        ({"prompt": ""}, "prompt", "invalid_value"),
        ({"prompt": "x" * 32_001}, "prompt", "string_above_max_length"),
        ({"prompt": None}, "prompt", "invalid_value"),
        ({"prompt": "a \x00 b"}, "prompt", "invalid_value"),
        ({"negative_prompt": "\x00"}, "negative_prompt", "invalid_value"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused_by_name(client: openai.OpenAI, said: Any, param: str, code: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(prompt="a cat", extra_body=said)
    assert (caught.value.param, caught.value.code, caught.value.type) == (param, code, "invalid_request_error")
    assert param in caught.value.message


def test_a_word_that_is_not_known(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="unknownword"):
        client.images.generate(prompt="an unknownword")


def test_urls_are_absolute_signed_and_need_no_key(client: openai.OpenAI, server: Running) -> None:
    reply = client.images.generate(prompt="a cat", response_format="url", output_format="jpeg")
    url = str(reply.data[0].url)
    assert url.startswith(server.url) and reply.data[0].b64_json is None
    got = httpx2.get(url)
    assert got.status_code == 200 and got.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(got.content)).size == (64, 64)
    head = httpx2.head(url)
    assert head.status_code == 200 and head.headers["content-length"] == got.headers["content-length"]
    assert not head.content
    for forged in (
        url[:-1] + ("A" if url[-1] != "A" else "B"),
        url.replace("until=", "until=9"),
        url.replace("jpeg", "webp"),
    ):
        assert httpx2.get(forged).status_code == 403
    assert client.images.generate(model="dall-e-2", prompt="a cat").data[0].url
    assert client.images.generate(model="dall-e-3", prompt="a cat", response_format="b64_json").data[0].b64_json


def test_links_end(server: Running, monkeypatch: pytest.MonkeyPatch, client: openai.OpenAI) -> None:
    url = str(client.images.generate(prompt="a cat", response_format="url").data[0].url)
    later = time.time() + 3601
    monkeypatch.setattr("tranh.serve.openai.images.time.time", lambda: later)
    late = httpx2.get(url)
    assert late.status_code == 403 and late.json()["error"]["code"] == "link_expired"


def test_models(client: openai.OpenAI) -> None:
    found = client.models.list().data
    assert [model.id for model in found] == ["first", "of/many parts"]
    assert client.models.retrieve("of/many parts").id == "of/many parts"
    assert client.models.retrieve("first").sizes == [64, 256]
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("nothing")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError):
        client.images.generate(model="gpt-image-9", prompt="a cat")
    with pytest.raises(openai.APIStatusError) as refused:
        client.models.delete("first")
    assert refused.value.status_code == 405
    assert client.images.generate(model="of/many parts", prompt="a cat").model == "of/many parts"


def test_edit(client: openai.OpenAI, server: Running) -> None:
    mask = Image.new("RGBA", (64, 64), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (0, 0, 32, 64))
    reply = client.images.edit(
        image=png(), mask=png(mask), prompt="a cat", n=2, extra_body={"seed": 3, "guidance_scale": 2.5}
    )
    assert reply.tool == "inpaint" and [one.seed for one in reply.data] == [3, 4]
    record = server.desk.job(reply.job)
    hole = server.desk.picture_in(record.order.request["mask"])
    assert hole.getpixel((0, 0)) == 255 and hole.getpixel((63, 0)) == 0  # white is where to draw
    assert record.order.request["guidance"] == 2.5 and reply.usage.input_tokens_details.image_tokens == 128
    assert client.images.edit(image=[("x.webp", png(kind="WEBP"))], prompt="make it blue").tool == "instruct"
    again = client.images.edit(image=io.BytesIO(png(kind="JPEG")), prompt="a cat", extra_body={"strength": 0.5})
    assert again.tool == "img2img"
    seen_through = client.images.edit(image=png(mask), prompt="a cat")
    assert seen_through.tool == "inpaint"


def test_edits_that_cannot_be_done(client: openai.OpenAI) -> None:
    small, opaque = Image.new("RGBA", (32, 32)), Image.new("RGB", (64, 64))
    for files, said, param, code in (
        ({"image": b"no picture"}, {}, "image", "invalid_image"),
        ({"image": png(), "mask": png(small)}, {}, "mask", "invalid_image"),
        ({"image": png(), "mask": png(opaque)}, {}, "mask", "invalid_image"),
        ({"image": [png(), png()]}, {}, "image", "unsupported_parameter"),
        ({"image": png()}, {"input_fidelity": "high"}, "input_fidelity", "unsupported_parameter"),
        ({"image": png()}, {"n": 99}, "n", "invalid_value"),
        ({"image": png()}, {"style": "vivid"}, "style", "unknown_parameter"),
        ({"image": png()}, {"svg": {"model": "x"}}, "svg", "unsupported_parameter"),
        ({"image": png()}, {"size": "256x256"}, "size", "invalid_size"),
        ({"image": png()}, {"negative_prompt": "x"}, "negative_prompt", "unsupported_parameter"),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            client.images.edit(**files, prompt="a cat", extra_body=said)
        assert (caught.value.param, caught.value.code) == (param, code)
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.edit(model="of/many parts", image=png(), prompt="a cat")
    assert "img2img" in caught.value.message


def test_who_waits_holds_no_unpacked_pictures() -> None:
    hole = Image.new("RGBA", (64, 64))
    with running([Able("slow", pause=0.2)]) as server, ThreadPoolExecutor(2) as pool, client_of(server) as client:
        for call in (client.images.edit, client.images.create_variation):
            said = {"prompt": "a cat"} if call == client.images.edit else {}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                waits = pool.submit(call, image=png(hole), extra_body={"steps": 15}, **said)
            until = time.monotonic() + 5
            while not server.desk.jobs(status="in_progress")[0] and time.monotonic() < until:
                time.sleep(0.02)
            assert server.desk.jobs(status="in_progress")[0]
            assert not [one for one in gc.get_objects() if type(one) is Upload]
            assert waits.result().data


def test_who_waits_keeps_nobody_from_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = png(Image.effect_noise((200, 200), 90).convert("RGB"))
    monkeypatch.setattr("tranh.serve.guard.MOST_HELD", len(noise) + 5000)
    monkeypatch.setattr("tranh.serve.guard.SMALL", 1000)
    with running([Able("slow", pause=0.2)]) as server, ThreadPoolExecutor(1) as pool, client_of(server) as client:
        waits = pool.submit(client.images.edit, image=noise, prompt="a cat", extra_body={"steps": 15})
        until = time.monotonic() + 5
        while not server.desk.jobs(status="in_progress")[0] and time.monotonic() < until:
            time.sleep(0.02)
        assert httpx2.post(f"{server.url}/api/uploads", files={"file": noise}).status_code == 201
        assert not waits.done() and waits.result().data


def test_variation(client: openai.OpenAI) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        reply = client.images.create_variation(image=png(), n=2, size="256x256", response_format="b64_json")
        assert reply.tool == "variation" and picture(reply.data[0].b64_json).size == (256, 256)
        linked = client.images.create_variation(image=png(), model="dall-e-2")
        assert linked.data[0].url


def test_provenance(client: openai.OpenAI) -> None:
    (found,) = client.content_provenance_checks.create(file=png()).results
    assert (found.type, found.outcome, found.validation_state) == ("c2pa", "not_detected", "not_present")
    with pytest.raises(openai.BadRequestError):
        client.content_provenance_checks.create(file=b"GIF89a...")


def test_streaming(client: openai.OpenAI) -> None:
    events = list(
        client.images.generate(
            model="of/many parts",
            prompt="a cat",
            stream=True,
            partial_images=2,
            n=2,
            quality="high",
            extra_body={"seed": 5},
        )
    )
    told = [(event.type.rpartition(".")[2], event.image_index) for event in events]
    assert told == [("partial_image", 0)] * 2 + [("partial_image", 1)] * 2 + [("completed", 0), ("completed", 1)]
    assert [event.partial_image_index for event in events[:4]] == [0, 1, 0, 1]
    assert [event.seed for event in events[4:]] == [5, 6]
    assert picture(events[-1].b64_json).getpixel((0, 0)) == (5, 6, 8) and events[-1].quality == "high"
    assert events[-1].usage.total_tokens == 2 + 64
    edited = list(client.images.edit(image=png(), prompt="a cat", stream=True, output_format="webp", partial_images=1))
    assert [event.type for event in edited] == ["image_edit.partial_image", "image_edit.completed"]
    assert {picture(event.b64_json).format for event in edited} == {"WEBP"}


def test_errors_of_a_stream(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError):  # known before the first byte
        client.images.generate(prompt="an unknownword", stream=True)
    with pytest.raises(openai.APIError, match="the server failed") as caught:
        list(client.images.generate(prompt="fail", stream=True))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("what", ["job", "file"])
def test_a_stream_says_that_its_picture_was_deleted(
    client: openai.OpenAI, server: Running, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def gone(*args: Any) -> None:
        raise Refused("it was deleted", status=404, code="not_found")

    stream = client.images.generate(model="of/many parts", prompt="a cat", stream=True)
    monkeypatch.setattr(server.desk, what, gone)
    with pytest.raises(openai.APIError, match="it was deleted"):
        list(stream)


def test_the_asynchronous_client(server: Running) -> None:
    async def go() -> None:
        async with openai.AsyncOpenAI(
            base_url=f"{server.url}/v1", api_key=KEY, _strict_response_validation=True, max_retries=0
        ) as client:
            replies = await asyncio.gather(*(client.images.generate(prompt="a cat", n=2) for _ in range(8)))
            assert all(len(reply.data) == 2 for reply in replies)
            stream = await client.images.generate(prompt="a cat", stream=True, partial_images=1)
            assert [event.type async for event in stream][-1] == "image_generation.completed"
            assert (await client.images.edit(image=png(), prompt="a cat")).data
            assert [model.id async for model in client.models.list()]
            assert (await client.content_provenance_checks.create(file=png())).results

    asyncio.run(go())


def test_a_failure_is_not_tried_again(server: Running) -> None:
    before = server.desk.models["first"].begun
    with client_of(server, max_retries=2) as client, pytest.raises(openai.InternalServerError) as caught:
        client.images.generate(prompt="fail")
    assert caught.value.response.headers["x-should-retry"] == "false" and "secret" not in str(caught.value)
    assert server.desk.models["first"].begun == before + 1
    assert str(caught.value.request_id).startswith("req_")


def test_what_needs_too_much_memory_is_not_tried_again(server: Running) -> None:
    before = server.desk.models["first"].begun
    with (
        client_of(server, max_retries=2) as client,
        pytest.raises(openai.InternalServerError, match="memory") as caught,
    ):
        client.images.generate(prompt="memory")
    assert caught.value.code == "out_of_memory" and caught.value.response.headers["x-should-retry"] == "false"
    assert server.desk.models["first"].begun == before + 1


def test_a_full_queue_says_when_to_come_back() -> None:
    slow = Able("slow", pause=0.2)
    with running([slow], active=1, waiting=0) as server, client_of(server) as client:
        held = httpx2.post(f"{server.url}/api/jobs", json={"request": {"prompt": "a cat"}})
        assert held.status_code == 202
        with pytest.raises(openai.RateLimitError) as caught:
            client.images.generate(prompt="a cat")
        assert int(caught.value.response.headers["retry-after"]) >= 1
        assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "rate_limit_error")


def test_keys(server: Running) -> None:
    with running([Able()], Settings(keys=read_keys([f"anna:{KEY}", "other:another-secret-word"]))) as guarded:
        with client_of(guarded) as client:
            raw = client.images.with_raw_response.generate(prompt="a cat")
            assert raw.headers["x-ratelimit-limit-requests"] == "300"
            assert int(raw.headers["x-ratelimit-remaining-requests"]) < 300
            assert int(raw.headers["openai-processing-ms"]) >= 0
            job = raw.parse().job
            with pytest.raises(openai.AuthenticationError) as wrong:
                client.with_options(api_key="wrong").models.list()
            assert (wrong.value.code, wrong.value.status_code) == ("invalid_api_key", 401)
        assert guarded.desk.job(job, "anna").owner == "anna"
        other = {"authorization": "Bearer another-secret-word"}
        assert httpx2.get(f"{guarded.url}/api/jobs/{job}", headers=other).status_code == 404


def test_who_hangs_up_no_longer_gets_a_picture() -> None:
    slow = Able("slow", pause=0.05)
    with running([slow], Settings(linger=0.2)) as server:
        for more in ({}, {"x-stainless-retry-count": "0"}):
            done = slow.steps
            with pytest.raises(httpx2.TimeoutException):
                httpx2.post(
                    f"{server.url}/v1/images/generations",
                    json={"prompt": "a cat", "steps": 100},
                    timeout=0.3,
                    headers=more,
                )
            ended(server)
            assert slow.steps < done + 30


def ended(server: Running) -> None:
    """Wait until the newest job has ended."""
    until = time.monotonic() + 5
    while server.desk.jobs()[0][0].status not in ENDS and time.monotonic() < until:
        time.sleep(0.02)
    assert server.desk.jobs()[0][0].status == "cancelled"


def test_a_server_that_ends_cancels_nobodys_job() -> None:
    slow = Able("slow", pause=0.02)
    with running([slow]) as server:
        server.app.state.waiting.closing = True
        with pytest.raises(httpx2.TimeoutException):
            asked = {"prompt": "a cat", "steps": 30}
            httpx2.post(f"{server.url}/v1/images/generations", json=asked, timeout=0.3)
        until = time.monotonic() + 5
        while server.desk.jobs()[0][0].status not in ENDS and time.monotonic() < until:
            time.sleep(0.02)
        assert server.desk.jobs()[0][0].status == "completed"


def test_whoever_waits_as_the_server_ends_is_told_when_to_come_back() -> None:
    slow = Able("slow", pause=0.05)
    with running([slow]) as server, ThreadPoolExecutor() as threads:
        where = f"{server.url}/v1/images/generations"
        asked = {"prompt": "a cat", "steps": 500}
        at_once = threads.submit(httpx2.post, where, json=asked, timeout=30)
        stream = threads.submit(httpx2.post, where, json=asked | {"stream": True}, timeout=30)
        until(lambda: len(server.desk.jobs()[0]) == len(server.desk._feed.watched()) == 2)
        id = server.desk.jobs()[0][0].id
        watcher = threads.submit(httpx2.get, f"{server.url}/api/jobs/{id}/events", timeout=30)
        until(lambda: len(server.desk._feed._waiting[id]) == 2)
        server.app.state.waiting.close()
        reply = at_once.result()
        assert reply.status_code == 503 and reply.headers["retry-after"] == "5"
        assert reply.json()["error"]["code"] == "stopping" and '"code": "stopping"' in stream.result().text
        assert "event: job" in watcher.result().text and "event: end" not in watcher.result().text
        assert all(job.status not in ENDS for job in server.desk.jobs()[0])


def test_who_stops_reading_a_stream_ends_its_job() -> None:
    slow = Able("slow", pause=0.05)
    with running([slow], Settings(linger=0.1)) as server, client_of(server) as client:
        stream = client.images.generate(prompt="a cat", stream=True, partial_images=1, extra_body={"steps": 100})
        stream.close()
        ended(server)
        assert slow.steps < 50


def test_a_client_that_comes_again_finds_its_job_running() -> None:
    slow = Able("slow", pause=0.02)
    with running([slow]) as server, client_of(server, timeout=0.4, max_retries=2) as client:
        reply = client.images.generate(prompt="a cat", extra_body={"steps": 30})  # 0.6 s: the first try ends too early
        assert reply.data and slow.begun == 1


def test_an_idempotency_key_gives_the_same_job(client: openai.OpenAI, server: Running) -> None:
    before = server.desk.models["first"].begun
    asked = {"prompt": "a cat", "extra_headers": {"Idempotency-Key": "once"}}
    first, again = (client.images.generate(**asked) for _ in range(2))
    assert first.job == again.job and first.data[0].b64_json == again.data[0].b64_json
    assert server.desk.models["first"].begun == before + 1
