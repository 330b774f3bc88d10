"""The rating server as a process, and the addresses it hands out. It knows no route."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from tranh.serve.limits import Patience
from tranh.serve.process import opened, server
from tranh.serve.rating.app import app
from tranh.serve.rating.study import Study
from tranh.serve.rating.votes import Votes

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
    with opened(host, port) as (listening, here):
        told = "" if language == "auto" else f"?lang={language}"
        rater = f"{here}/{told}{f'#{quote(token)}' if token else ''}"
        owner = f"{here}/results{told}#{votes.secret('owner')}"
        patience = Patience(connections=MOST_CONNECTIONS, each=MOST_CONNECTIONS)
        server(served, patience, lambda: ready(rater, owner)).run_until_told(listening)
