"""The verb that draws for others: ``serve``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tranh.cli.base import app

if TYPE_CHECKING:
    from tranh.serve.keys import Key

KEYS_VARIABLE, DATABASE_VARIABLE = "TRANH_API_KEYS", "TRANH_DATABASE_URL"


@app.command()
def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|DIR",
            help="To draw with; several may be given, the first is the default.",
            show_default="tranh-1",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="To listen on; any but this machine's own needs a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME:]SECRET",
            help=f"An API key; better in the variable {KEYS_VARIABLE} or a file, where no list of processes shows it.",
            show_default=False,
        ),
    ] = None,
    keys: Annotated[Path | None, typer.Option(metavar="FILE", help="API keys, one a line.", show_default=False)] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="A further name the server is called by.", show_default=False),
    ] = None,
    public_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Where others reach it: the address of a proxy before it, with TLS.", show_default=False
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where jobs and pictures are kept.", show_default="~/.local/share/tranh/server"
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="PostgreSQL in the place of SQLite.", show_default=f"${DATABASE_VARIABLE}"),
    ] = None,
    active: Annotated[int, typer.Option(min=1, max=256, help="Jobs that run at once.")] = 24,
    waiting: Annotated[int, typer.Option(min=0, max=100_000, help="Jobs that may wait; more are refused.")] = 256,
    exact: Annotated[bool, typer.Option("--exact", help="No picture depends on its company by a bit; slower.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Say what would be done, and stop.")] = False,
) -> None:
    """Draw for others: a page for the browser, and an API that OpenAI's clients speak.

    Only this machine can reach it unless --host says otherwise; then every request needs an API key. Jobs and pictures
    survive the server. Ctrl-C or SIGTERM ends it; the same command goes on with what was waiting.

    \b
    tranh serve
    tranh serve --model tranh-1 --model ./my-model --port 8080
    tranh serve --host 0.0.0.0 --keys keys.txt --name draw.example.org
    tranh serve --keys keys.txt --public-url https://pictures.example.org
    tranh serve --check
    """
    from tranh.serve.guard import is_loopback
    from tranh.serve.keys import read_keys
    from tranh.serve.public import read_public_url
    from tranh.types import TranhError

    known = read_keys(key or (), os.environ.get(KEYS_VARIABLE, ""), keys)
    public = None if public_url is None else read_public_url(public_url)
    if not known and (public or not is_loopback(host)):
        raise TranhError(
            f"{public or host} can be reached by others, so an API key is needed: set {KEYS_VARIABLE}, or give --keys "
            "FILE or --key SECRET. A good one: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    if check:
        _say(public or f"http://{host}:{port}", known, data, database)
        typer.echo(f"models: {', '.join(model or ['tranh-1'])}{' (exact)' if exact else ''}; nothing was started")
        return
    from tranh.serve.start import Start, run

    def ready(url: str) -> None:
        _say(public or url, known, data, database)
        typer.echo("Ctrl-C stops; the same command goes on", err=True)

    start = Start(model or ["tranh-1"], host, port, name or [], known, data, database, active, waiting, exact, public)
    run(start, ready)


def _say(url: str, keys: tuple[Key, ...], data: Path | None, database: str | None) -> None:
    """The address, who may come in, and where things are kept."""
    from tranh.serve.store import data_folder

    base = url.replace("0.0.0.0", "localhost").replace("[::]", "localhost")
    typer.echo(f"studio: {base}\nAPI:    {base}/v1 (OpenAI's clients: base_url)")
    if keys:
        typer.echo(f"keys:   every request needs one; known: {', '.join(sorted({key.name for key in keys}))}")
    else:
        typer.echo("keys:   none needed; only this machine can reach it")
    url = database or os.environ.get(DATABASE_VARIABLE, "")
    kept = f", jobs in {_hidden(url)}" if url else ""
    typer.echo(f"data:   {data or data_folder()}{kept}")


def _hidden(url: str) -> str:
    """A database's address without its password."""
    from sqlalchemy.engine import make_url

    return make_url(url).render_as_string(hide_password=True)
