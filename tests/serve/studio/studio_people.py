"""A server with the page, and people who use it in a real browser."""

from __future__ import annotations

import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import uvicorn
from PIL import Image
from stubs import Stub

from tranh.engine.doors import Doors
from tranh.engine.jobs import Engine
from tranh.recipes.pictures import check
from tranh.recipes.tools import TOOLS
from tranh.serve.app import create_app
from tranh.serve.desk import Desk
from tranh.serve.orders import Work
from tranh.serve.store import Store
from tranh.types import Event

KNOWN = {"a", "red", "blue", "circle", "square", "on", "đỏ", "một", "hình", "tròn"}
LOCALES = {"en": "en-GB", "vi": "vi-VN"}


def chromium():
    found = shutil.which("chromium-headless-shell") or shutil.which("chromium-headless-shell", path="/usr/lib/chromium")
    assert found, "these tests need Chromium: apt install chromium-headless-shell"
    return found


class Sketcher(Stub):
    """The stub with every tool there is, a preview after each step, and words it was never taught.

    Attributes:
        until: the step at which jobs stay for now; None lets them go on.
    """

    until: int | None = None

    def __init__(self) -> None:
        super().__init__()
        kinds = ("kind", "default", "low", "high", "choices", "needed", "many")
        told = {
            name: {one.name: {kind: getattr(one, kind) for kind in kinds} for one in tool.fields}
            for name, tool in TOOLS.items()
        }
        told["generate"]["sampler"]["choices"] = ("ddim", "euler")
        told["generate"]["size"]["choices"] = (64, 128)
        self.about = {"sizes": [64, 128], "steps": 4, "tools": told}

    def ready(self, order: Any, pictures: Any) -> Work:
        request, _ = TOOLS[order.tool].asked(order.request, pictures)  # refused as a loaded model would
        if order.tool != "animate":
            check(request)
        many = request.frames or (len(request.seeds) if order.tool == "generate" else 0)
        if many:
            order = replace(order, request={**order.request, "count": many})
        work = super().ready(order, pictures)

        def events() -> Iterator[Event]:
            for event in work.events():
                shade = 30 * event.done % 255
                seen = Event("draw", event.done, event.total, preview=lambda shade=shade: flat(shade))
                yield seen
                while self.until is not None and event.done >= self.until:
                    time.sleep(0.02)
                    yield seen  # here it can be cancelled
                if event.result is not None and order.tool != "generate":
                    for settings in event.result.settings:
                        settings["edit"] = order.tool
                if event.result is not None and "loud" in order.request.get("prompt", ""):
                    event.result.notices.append("'loud' was left out")
                yield event

        return replace(work, events=events)

    def understand(self, prompt: str) -> Mapping[str, Any]:
        words = [word for word in dict.fromkeys(re.findall(r"\w+", prompt.lower())) if word not in KNOWN]
        near = [{"word": word, "near": ["circle"] if word.startswith("circ") else []} for word in words]
        return {"understood": prompt.lower(), "language": "en", "notices": [], "unknown": near}


def flat(shade):
    return Image.new("RGB", (32, 32), (200, shade, 40))


class Server:
    """The application on a free port; it can be stopped and started again there, and keeps what it was told.

    Args:
        folder: of the store.
        until: the step at which jobs stay, see :class:`Sketcher`.
        active: jobs at once.
        changed: what is done to the application.
        others: models beside the sketcher.
    """

    def __init__(self, folder, until=None, active=2, changed=lambda app: app, others=()):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder, self.active, self.changed, self.others = folder, active, changed, others
        self.model = Sketcher()
        self.model.until = until

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}/"

    def start(self):
        self.engine = Engine(Doors(), active=self.active)
        self.desk = Desk([self.model, *self.others], self.engine, Store(self.folder, synced=False))
        app = self.changed(create_app(self.desk))
        config = uvicorn.Config(app, port=self.port, log_level="critical", timeout_graceful_shutdown=0, lifespan="off")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def stop(self):
        self.server.should_exit = self.server.force_exit = True
        self.thread.join()
        self.desk.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *told):
        self.stop()

    def orders(self):
        """What was ordered, the latest first."""
        return [record.order for record in self.desk.jobs()[0]]


class Person:
    """Somebody at the page. What the console says against it is kept in ``faults``."""

    def __init__(self, browser, server, language="en", **context):
        self.context = browser.new_context(locale=LOCALES[language], **context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(5000)
        self.faults = []
        self.page.on("pageerror", lambda error: self.faults.append(f"{error} {error.stack}"))
        self.page.on("console", lambda said: self.faults.append(said.text) if said.type != "log" else None)
        self.page.goto(server.address)
        self.page.locator("#compose:visible").wait_for()

    def __getitem__(self, selector):
        return self.page.locator(selector)

    def write(self, words, **fields):
        for name, value in fields.items():
            if not self[f"#field-{name}"].is_visible():
                self["#more > summary"].click()
            self[f"#field-{name}"].fill(str(value))
        self["#field-prompt"].fill(words)

    def draw(self, words, **fields):
        """Order, and wait until the server has taken it."""
        self.write(words, **fields)
        with self.page.expect_response(lambda reply: reply.url.endswith("/api/jobs")) as taken:
            self.page.keyboard.press("Control+Enter")
        return taken.value.json()

    def drawn(self, words, **fields):
        """Order, and wait for the pictures."""
        job = self.draw(words, **fields)
        self[f'[data-job="{job["id"]}"]'].wait_for(state="detached")
        return job

    def drop(self, data, name="given.png", on="body"):
        """Drop a file on the page."""
        transfer = self.page.evaluate_handle(
            """([bytes, name]) => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
                return transfer;
            }""",
            [list(data), name],
        )
        for event in ("dragenter", "dragover", "drop"):
            self[on].dispatch_event(event, {"dataTransfer": transfer})
