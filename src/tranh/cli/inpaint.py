"""The edit ``inpaint``: what a prompt says is drawn into a part of a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tranh.cli.base import drawing, edit, last
from tranh.cli.draw import SEED_LIMIT


@edit.command()
def inpaint(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An exported glide model.")],
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="A square picture.")],
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What the whole picture shows afterwards.")],
    mask: Annotated[Path, typer.Option(metavar="MASK", help="A picture: white where to draw, black where to keep.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("out.png"),
    seed: Annotated[int, typer.Option(min=0, max=SEED_LIMIT, help="Another seed gives another picture.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps.", show_default="the model's own")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale.", show_default="the model's own")] = None,
    sampler: Annotated[str | None, typer.Option(help="As for `generate`.", show_default="the model's own")] = None,
    negative: Annotated[str, typer.Option(help="What the picture should not show.", show_default=False)] = "",
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="Draw a prompt with words the model was never taught.")
    ] = False,
) -> None:
    """Draw what a prompt says into the white part of a mask; every pixel outside stays exactly as it is.

    \b
    tranh edit inpaint my-glide picture.png "a small blue star at the top left" --mask mask.png -o new.png
    """
    from tranh.data.decode import read_picture
    from tranh.engine.picture import check_target, save_picture
    from tranh.recipes.inpaint import inpaint as filling
    from tranh.types import Request

    check_target(output)
    image, hole = (read_picture(path) for path in (picture, mask))
    request = Request(
        prompt, negative, seed=seed, steps=steps, guidance=guidance, image=image, mask=hole,
        allow_unknown=allow_unknown, sampler=sampler,
    )  # fmt: skip
    made = last(filling(drawing(model), request))
    for notice in made.notices:
        typer.echo(f"note: {notice}", err=True)
    typer.echo(save_picture(made.images[0], output, made.settings[0]))
