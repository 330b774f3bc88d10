"""The verb that sets systems side by side: ``compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tranh.cli.base import app, last, words


@app.command()
def compare(
    families: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Recipes, with commas.", show_default="the usual ones that are there"),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="Wall clock for all parts of each.", show_default="20")
    ] = None,
    flops: Annotated[
        float | None, typer.Option(min=1.0, help="In place of minutes: operations for all parts, as 1e15.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="PATH", help="Own captioned pictures, or digits.", show_default="Scenes")
    ] = None,
    level: Annotated[str, typer.Option(help="Of Scenes.")] = "one",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where all of it goes.")] = Path("comparison"),
    count: Annotated[
        int, typer.Option(min=2, help="Scenes asked for per split and language; own pictures: per split.")
    ] = 500,
    languages: Annotated[str, typer.Option(help="Of the captions, with commas.", show_default="all")] = "",
    judge: Annotated[
        str | None, typer.Option(metavar="JUDGE", help="For own pictures: an exported `tranh train matcher`.")
    ] = None,
    network: Annotated[
        str | None, typer.Option(metavar="FILE", help="Converted Inception, for FID.", show_default="verifier-1")
    ] = None,
) -> None:
    """Train systems on the same data in the same time, judge them alike, and write one table with pictures.

    The same command goes on where it was stopped. A system that fails stands in the table with its reason.

    \b
    tranh compare --families vae,gan,unclip --minutes 20 --out comparison
    tranh compare --families unclip,unclip-ar --flops 1e15
    tranh compare --families vae,gan --data my-pictures --judge my-judge
    """
    from tranh.recipes import caption_judge, models, networks
    from tranh.recipes import compare as comparison
    from tranh.types import TranhError

    if judge and data is None:
        raise TranhError("--judge is for own pictures: Scenes have the verifier. Give --data PATH as well")
    if data is not None and Path(data).exists():
        data = str(Path(data).absolute())
    terms = comparison.Terms(
        minutes=20.0 if minutes is None and flops is None else minutes, flops=flops,
        data=None if data in (None, "scenes") else {"source": data}, level=level, count=count,
        languages=words(languages),
    )  # fmt: skip
    chosen = caption_judge.load(judge) if judge else None
    seen = networks.network(network or models.JUDGE)
    last(comparison.compare(words(families or ""), out, terms, network=seen, judge=chosen))
    typer.echo((out / "compare.md").read_text("utf-8"))
    typer.echo(out / "compare.html")
