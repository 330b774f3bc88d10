"""The verb that shows where a model read each word: ``attention``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tranh.cli.base import app, drawing
from tranh.cli.options import SEED_LIMIT


@app.command()
def attention(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An exported folder, of a model that has a memory.")],
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What the picture shows.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The PNG to write.")] = Path("maps.png"),
    seed: Annotated[int, typer.Option(min=0, max=SEED_LIMIT, help="Of the picture.")] = 0,
    layer: Annotated[int, typer.Option(help="Which layer that reads words, from 0; -1 is the last.")] = -1,
) -> None:
    """Show where in a picture each word of its prompt was read: one map per word, the word below.

    \b
    tranh attention my-dmgan "a large red circle" -o maps.png
    """
    from tranh.files import replacing
    from tranh.recipes.attention import maps

    picture = maps(drawing(model), prompt, seed, layer)
    with replacing(output) as temporary:
        picture.save(temporary, "PNG")
    typer.echo(output)
