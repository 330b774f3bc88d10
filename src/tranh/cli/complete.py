"""The verb ``edit complete``: the top of a picture is kept, the rest is drawn anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tranh.cli.base import edit, last
from tranh.cli.draw import targets, written
from tranh.cli.options import SEED_LIMIT, Format


@edit.command()
def complete(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An exported folder of `tranh train dalle`.")],
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="Its middle square is taken.")],
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What the whole picture shows.")],
    rows: Annotated[float, typer.Option(min=0, max=1, help="Share of the height that is kept.")] = 0.5,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write.", show_default="out.png")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many; each is named by its seed.")] = 1,
    seed: Annotated[int, typer.Option(min=0, max=SEED_LIMIT, help="Of the first; the next has seed + 1.")] = 0,
    guidance: Annotated[
        float | None, typer.Option(help="Classifier-free guidance scale.", show_default="the model's own")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Of drawing codes; 0: the likeliest.", show_default="the model's own")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(help="Draw of the likeliest codes only; 0: of all.", show_default="the model's own")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Draw of those that hold this share.", show_default="the model's own")
    ] = None,
    format: Annotated[Format | None, typer.Option(help="Kind of file.", show_default="by its name")] = None,
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="Draw a prompt with words the model was never taught.")
    ] = False,
) -> None:
    """Keep the top of a picture and draw the rest anew, as the prompt says. The paths of the files are printed.

    \b
    tranh edit complete my-dalle car.png --rows 0.5 "a large red car on grey"
    """
    from tranh.data.decode import read_picture
    from tranh.edits.complete import complete as completing
    from tranh.recipes import models
    from tranh.types import Request

    paths = targets(ctx, output, format, [seed] if count == 1 else range(seed, seed + count))
    image = read_picture(picture)
    request = Request(
        prompt, count=count, seed=seed, guidance=guidance, temperature=temperature, top_k=top_k, top_p=top_p,
        allow_unknown=allow_unknown,
    )  # fmt: skip
    written(last(completing(models.load(model), image, request, rows, model)), paths, [picture])
