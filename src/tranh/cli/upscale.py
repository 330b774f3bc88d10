"""The edits ``upscale`` and ``enhance``: a larger picture, a mended one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tranh.cli.base import edit, last
from tranh.cli.draw import written
from tranh.cli.options import SEED_LIMIT

Picture = Annotated[Path, typer.Argument(metavar="PICTURE", help="The file to begin from.")]
Model = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="An export of `tranh train enhancer`.", show_default="the shipped one"),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="The file to write.")]


@edit.command()
def upscale(
    picture: Picture,
    to: Annotated[int | None, typer.Option(min=1, help="Pixels of the longer side.", show_default=False)] = None,
    factor: Annotated[int | None, typer.Option(help="4, 16 or 64.", show_default="4")] = None,
    sampled: Annotated[
        bool, typer.Option("--sampled", help="Draw one of the pictures it may be: sharper, and less sure.")
    ] = False,
    steps: Annotated[int | None, typer.Option(min=2, help="Of a sampled picture.", show_default="4")] = None,
    seed: Annotated[int, typer.Option(min=0, max=SEED_LIMIT, help="Of a sampled picture.")] = 0,
    model: Model = None,
    output: Output = Path("large.png"),
) -> None:
    """Make a picture larger: every pixel the mean of what it may have been, or one such picture drawn.

    \b
    tranh edit upscale small.png -o large.png
    tranh edit upscale small.png --to 1024 -o large.png
    tranh edit upscale small.png --factor 16 --sampled --seed 3 -o large.png
    """
    from tranh.data.decode import read_picture
    from tranh.engine.picture import check_target
    from tranh.recipes import upscale as making
    from tranh.types import Request, TranhError

    if to is not None and factor is not None:
        raise TranhError("give either --to or --factor")
    if steps is not None and not sampled:
        raise TranhError("--steps are those of a sampled picture: add --sampled, or leave them out")
    check_target(output)
    request = Request("", seed=seed, steps=steps, size=to, image=read_picture(picture))
    system, world = making.default(model), making.world(model)
    written(last(making.upscale(system, request, factor, sampled, world)), [output], [picture])


@edit.command()
def enhance(
    picture: Picture,
    straighten: Annotated[bool, typer.Option(help="Look for the corners of a picture not held straight.")] = True,
    model: Model = None,
    output: Output = Path("enhanced.png"),
) -> None:
    """Mend a picture that is noisy, blurred, over-compressed or not held straight.

    \b
    tranh edit enhance poor.jpg -o better.png
    tranh edit enhance scan.png --no-straighten
    """
    from tranh.data.decode import read_picture
    from tranh.engine.picture import check_target
    from tranh.recipes import upscale as making
    from tranh.types import Request

    check_target(output)
    request = Request("", image=read_picture(picture))
    system, world = making.default(model, None), making.world(model)
    written(last(making.enhance(system, request, straighten, world)), [output], [picture])
