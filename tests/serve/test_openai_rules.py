"""The APIs of others beyond their pictures: what is told of a prompt, what of a form is refused, whose job goes on."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx2
import openai
import pytest
from PIL import Image
from running import Running, running, until
from stubs import Able

from tranh.recipes.pictures import Pictures
from tranh.serve.app import Settings
from tranh.serve.orders import Order, Work
from tranh.types import Event

READ = {"mot hinh tron do": "một hình tròn đỏ"}


class Reader(Able):
    """A stub that reads a prompt as models do: the settings have it as it was written, and as it was understood."""

    def ready(self, order: Order, pictures: Callable[[str], Image.Image]) -> Work:
        work, prompt = super().ready(order, pictures), str(order.request.get("prompt", ""))
        read = {"prompt": prompt, "understood": READ.get(prompt, prompt)}

        def events() -> Iterator[Event]:
            for event in work.events():
                made = event.result
                if isinstance(made, Pictures):
                    event = replace(event, result=replace(made, settings=[one | read for one in made.settings]))
                yield event

        return Work(work.cost, events)


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running([Reader()]) as found:
        yield found


@pytest.fixture
def client(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{server.url}/v1", api_key="none", _strict_response_validation=True, max_retries=0
    ) as found:
        yield found


def png(side: int = 64) -> bytes:
    data = io.BytesIO()
    Image.new("RGBA", (side, side)).save(data, "PNG")
    return data.getvalue()


def test_a_prompt_that_was_read_otherwise_is_told(client: openai.OpenAI) -> None:
    for prompt, read in (("mot hinh tron do", "một hình tròn đỏ"), ("a red circle", None)):
        assert client.images.generate(prompt=prompt).data[0].revised_prompt == read


@pytest.mark.parametrize(
    ("said", "param", "code"),
    [
        ([("svg[model]", "x"), ("svg[reasoning][effort]", "low")], "svg", "unsupported_parameter"),
        ([("svg[model]", "x"), ("svg[model]", "x")], "svg[model]", "invalid_value"),
        ([("prompt[x]", "a dog")], "prompt[x]", "unknown_parameter"),
        ([("prompt[]", "a dog")], "prompt[]", "unknown_parameter"),
        ([("foo", "")], "foo", "unknown_parameter"),
        ([("n", ""), ("n", "2")], "n", "invalid_value"),
        ([("user", "")], None, None),
    ],
    ids=str,
)
def test_fields_of_a_form(server: Running, said: list[tuple[str, str]], param: str | None, code: str | None) -> None:
    files: list[Any] = [("prompt", (None, "a cat")), *((name, (None, value)) for name, value in said)]
    reply = httpx2.post(f"{server.url}/v1/images/edits", files=[*files, ("image", ("x", png()))], timeout=30)
    assert reply.status_code == (400 if code else 200), reply.text
    if code:
        assert (reply.json()["error"]["param"], reply.json()["error"]["code"]) == (param, code)


def test_what_the_client_sends_in_pieces_is_refused_by_its_name(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.edit(
            image=png(), prompt="a cat", extra_body={"svg": {"model": "x", "reasoning": {"effort": "low"}}}
        )
    assert (caught.value.param, caught.value.code) == ("svg", "unsupported_parameter")


def test_a_retry_that_finds_a_job_in_the_background_leaves_it_there() -> None:
    slow = Able("slow", pause=0.02)
    with running([slow], Settings(linger=0.1)) as server:
        asked = {"prompt": "a cat", "steps": 1000}
        job = httpx2.post(f"{server.url}/api/jobs", json={"request": asked | {"seed": 3}}).json()["id"]
        again = {"x-stainless-retry-count": "1"}
        where = f"{server.url}/v1/images/generations"
        for _ in range(2):
            with pytest.raises(httpx2.TimeoutException):  # who finds it waits for it
                httpx2.post(where, json=asked, headers=again, timeout=0.2)
            time.sleep(0.3)  # longer than a job is left alone
        assert [(one.id, one.status) for one in server.desk.jobs()[0]] == [(job, "in_progress")]
        assert slow.begun == 1


def test_a_call_that_waited_too_long_says_so_and_is_not_tried_again() -> None:
    slow = Able("slow", pause=0.02)
    with running([slow], Settings(seconds=0.3, linger=0.05)) as server:
        for path in ("/v1/images/generations", "/sdapi/v1/txt2img"):
            reply = httpx2.post(f"{server.url}{path}", json={"prompt": "a cat", "steps": 1000}, timeout=30)
            said = reply.json()
            code = said["error"] if "sdapi" in path else said["error"]["code"]
            assert (reply.status_code, code) == (504, "deadline_exceeded")
            assert reply.headers["x-should-retry"] == "false" and "0.3 s" in reply.text
            until(lambda: server.desk.jobs()[0][0].status == "cancelled")
        assert slow.begun == 2


def test_an_edit_may_say_the_size_that_it_keeps(client: openai.OpenAI) -> None:
    hole = png()  # transparent everywhere
    assert client.images.edit(image=hole, prompt="a cat", size="64x64").tool == "inpaint"
    solid = io.BytesIO()
    Image.new("RGB", (64, 64)).save(solid, "PNG")
    for image, size in ((hole, "256x256"), (png(32), "64x64"), (solid.getvalue(), "64x64")):
        with pytest.raises(openai.BadRequestError) as caught:  # the last is drawn again at the model's own size
            client.images.edit(image=image, prompt="a cat", size=size)
        assert caught.value.code == "invalid_size"


def test_the_web_ui_is_told_that_the_server_ends_and_the_job_goes_on() -> None:
    with running([Able(pause=0.05)]) as server, ThreadPoolExecutor(1) as threads:
        with httpx2.Client(base_url=server.url, timeout=30) as client:
            waits = threads.submit(client.post, "/sdapi/v1/txt2img", json={"prompt": "a red circle", "steps": 500})
            until(lambda: bool(server.desk._feed.watched() and server.desk.jobs(status="in_progress")[0]))
            server.app.state.waiting.close()
            reply = waits.result()
        assert reply.status_code == 503 and reply.headers["retry-after"] == "5"
        assert reply.json()["error"] == "stopping"
        assert [job.status for job in server.desk.jobs()[0]] == ["in_progress"]
