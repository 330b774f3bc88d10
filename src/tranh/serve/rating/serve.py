"""The rating server as a process: a socket, the addresses to hand out, and an end on Ctrl-C. It knows no route."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from types import FrameType
from urllib.parse import quote

import uvicorn

from tranh.serve.rating.app import app
from tranh.serve.rating.study import Study
from tranh.serve.rating.votes import Votes
from tranh.types import TranhError

MOST_CONNECTIONS = 200


def listen(
    study: Study,
    votes: Votes,
    *,
    host: str,
    port: int,
    token: str = "",
    language: str = "auto",
    ready: Callable[[str, str], None] = lambda rater, owner: None,
) -> None:
    """Serve until told to stop.

    Args:
        port: 0 takes a free one; language: the page begins in, ``auto`` for the browser's.
        ready: called with the addresses for raters and for the owner once connections are taken.

    Raises:
        KeyboardInterrupt: it was stopped by Ctrl-C.
        TranhError: the address cannot be listened on, or needs a token.
    """
    served = app(study, votes, host=host, token=token)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as open_socket:
        open_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            open_socket.bind((host.strip("[]"), port))
        except OSError as error:
            raise TranhError(
                f"{host}, port {port}, cannot be listened on ({error.strerror}): choose another with --port or --host."
            ) from error
        open_socket.listen(128)
        here = f"http://{f'[{host}]' if ':' in host else host}:{open_socket.getsockname()[1]}"
        told = "" if language == "auto" else f"?lang={language}"
        rater = f"{here}/{told}{f'#{quote(token)}' if token else ''}"
        owner = f"{here}/results{told}#{votes.secret('owner')}"
        config = uvicorn.Config(
            served, log_level="warning", access_log=False, server_header=False, lifespan="off",
            limit_concurrency=MOST_CONNECTIONS, timeout_keep_alive=20, timeout_graceful_shutdown=3,
        )  # fmt: skip
        server = _Server(config, lambda: ready(rater, owner))
        server.run(sockets=[open_socket])
        if server.interrupted:
            raise KeyboardInterrupt


class _Server(uvicorn.Server):
    """Says that it is ready when it is: Ctrl-C is in its hands by then, and a signal is not lost in between."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.ready, self.interrupted = ready, False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.interrupted |= sig == signal.SIGINT  # raised again on leaving, it can be lost as the event loop ends
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready()
