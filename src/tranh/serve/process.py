"""A server as a process: a socket, the address to hand out, and an end on Ctrl-C or SIGTERM.

It knows no application.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import anyio.to_thread
import uvicorn

from tranh.serve.guard import App
from tranh.serve.limits import Patience, protocol
from tranh.types import TranhError

THREADS = 8
"""That answer requests: more wait for the disk no better, and the event loop waits for its turn among them."""

GRACE = 3
"""Seconds that replies under way may take once the server was told to end."""


@contextmanager
def opened(host: str, port: int) -> Iterator[tuple[socket.socket, str]]:
    """A socket that listens, and its address as a URL.

    Args:
        port: 0 takes a free one.

    Raises:
        TranhError: the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host.strip("[]"), port))
        except OSError as error:
            raise TranhError(
                f"{host}, port {port}, cannot be listened on ({error.strerror}): choose another with --port or --host."
            ) from error
        listening.listen(2048)
        yield listening, f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"


def server(
    app: App,
    patience: Patience | None = None,
    ready: Callable[[], None] = lambda: None,
    ending: Callable[[], None] = lambda: None,
) -> Server:
    """A server of an application, to be run on sockets.

    Args:
        ready: called once connections are taken; ending: before they are hung up on.
    """
    config = uvicorn.Config(
        app,
        http=protocol(patience or Patience()),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # who asks is who connects, whatever a header says
        timeout_keep_alive=20,
        timeout_graceful_shutdown=GRACE,
    )
    return Server(config, ready, ending)


class Server(uvicorn.Server):
    """Says that it is ready when it is: Ctrl-C is in its hands by then, and a signal is not lost in between."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], ending: Callable[[], None]) -> None:
        super().__init__(config)
        self.ready, self.ending, self.interrupted = ready, ending, False

    def run_until_told(self, listening: socket.socket) -> None:
        """Serve until told to stop.

        What is loaded by now stays: Python looks through it for garbage no more. It did in the midst of a crowd, and
        nobody was answered for 150 ms.

        Raises:
            KeyboardInterrupt: it was stopped by Ctrl-C. After SIGTERM it returns.
        """
        gc.collect()
        gc.freeze()
        try:
            self.run(sockets=[listening])
        except KeyboardInterrupt:
            self.interrupted = True
        if self.interrupted:
            raise KeyboardInterrupt

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.interrupted |= sig == signal.SIGINT  # raised again on leaving, it can be lost as the event loop ends
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        await super().startup(sockets)
        self.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.ending()
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):  # of those who read nothing
            connection.transport.abort()
        await asyncio.sleep(0)
