"""A process that forks servers and lets them die.

It has everything imported already, so a server of its own begins in milliseconds. One line of JSON comes in for each:
``{"faults", "folder", "url", "script"}``; one goes out when that has ended: its exit status.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from PIL import Image
from stubs import Stub

from tranh.engine.doors import Doors
from tranh.engine.jobs import Engine
from tranh.serve import runner
from tranh.serve.app import create_app
from tranh.serve.desk import Desk
from tranh.serve.faults import arm
from tranh.serve.orders import ENDS, Order
from tranh.serve.store import Store

LEASE = 0.3
runner.TICK = 0.05


def opened(folder: Path, url: str, pause: float = 0.0) -> Desk:
    """A server's desk. The disk is not waited for: what a process gave to the system survives its death."""
    return Desk([Stub(pause=pause)], Engine(Doors(), active=2), Store(folder, url, synced=False, lease=LEASE))


def sent() -> bytes:
    """A picture that is sent to the server."""
    data = io.BytesIO()
    Image.new("RGB", (8, 8), (9, 9, 9)).save(data, "PNG")
    return data.getvalue()


def order(number: int, **more: Any) -> Order:
    return Order("generate", "stub", {"prompt": f"number {number}", "seed": number, "steps": 1, **more})


def whole(folder: Path, url: str) -> None:
    """A bit of everything; what the client was told is written down as soon as it was."""

    def say(*words: str) -> None:
        handle = os.open(folder / "said", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(handle, (" ".join(words) + "\n").encode())
        os.close(handle)

    desk = opened(folder, url)
    first = desk.submit(order(1), idempotency="one").id
    say("accepted", "1", first)
    image = desk.add(sent(), "image/png")
    second = desk.submit(order(2, image=image), idempotency="two").id
    say("accepted", "2", second)
    for id in (first, second):
        while desk.job(id).status not in ENDS:
            time.sleep(0.002)
    desk.discard(desk.job(first).pictures[0].id)
    say("discarded", "1")
    desk.remove(second)
    say("removed", "2")


def drawing(folder: Path, url: str) -> None:
    """A server that only draws what waits."""
    desk = opened(folder, url)
    while desk.store.queue.count().keys() - ENDS:
        time.sleep(0.002)


def serving(folder: Path, url: str) -> None:
    """A server on a socket in its folder, with something to do that takes a while."""
    import uvicorn

    uvicorn.run(create_app(opened(folder, url, pause=0.05)), uds=str(folder / "socket"), log_level="error")


SCRIPTS = {"whole": whole, "drawing": drawing, "serving": serving}


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                arm(asked["faults"])
                SCRIPTS[asked["script"]](Path(asked["folder"]), asked["url"])
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        print(json.dumps({"pid": child}), flush=True)
        print(json.dumps({"status": os.waitpid(child, 0)[1]}), flush=True)


if __name__ == "__main__":
    main()
