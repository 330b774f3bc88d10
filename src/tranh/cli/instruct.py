"""Edits as they are said: ``instruct`` changes a picture as a sentence says, ``restyle`` draws it in a style."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tranh.cli.base import drawing, edit, last
from tranh.cli.draw import targets, written
from tranh.cli.options import Count, Guidance, Model, Output, Picture, Seed, Size, Steps, Unknown


@edit.command()
def instruct(
    ctx: typer.Context,
    picture: Picture,
    instruction: Annotated[str, typer.Argument(metavar="INSTRUCTION", help="What is to change.")],
    output: Output = None,
    count: Count = 1,
    seed: Seed = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    size: Size = None,
    model: Model = "tranh-1",
    allow_unknown: Unknown = False,
) -> None:
    """Change a picture as a sentence says, in English or Vietnamese: add, remove, recolour, resize, move, replace,
    restyle. What the sentence does not speak of stays. If it speaks of something that is not there, or of which there
    are two, that is said instead.

    \b
    tranh edit instruct picture.png "make the circle blue" -o blue.png
    tranh edit instruct picture.png "đổi hình tròn thành màu xanh dương" -o xanh.png
    tranh edit instruct picture.png "turn it into a watercolour"
    """
    from tranh.data.decode import read_picture
    from tranh.recipes.instruct import instruct as following
    from tranh.types import Request

    paths = targets(ctx, output, None, range(seed, seed + count))
    request = Request(
        instruction, count=count, seed=seed, steps=steps, guidance=guidance, size=size,
        image=read_picture(picture), allow_unknown=allow_unknown,
    )  # fmt: skip
    written(last(following(drawing(model), request)), paths, [picture])


@edit.command()
def restyle(
    ctx: typer.Context,
    picture: Picture,
    style: Annotated[str, typer.Argument(metavar="[STYLE]", help="The style in words.", show_default=False)] = "",
    like: Annotated[Path | None, typer.Option(metavar="PICTURE", help="Or a picture that is drawn in it.")] = None,
    strength: Annotated[float, typer.Option(min=0, max=1, help="Of a reference: how near to it.")] = 0.5,
    source: Annotated[str, typer.Option(metavar="TEXT", help="What the picture shows.", show_default=False)] = "",
    output: Output = None,
    count: Count = 1,
    seed: Seed = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    size: Size = None,
    model: Model = "tranh-1",
    allow_unknown: Unknown = False,
) -> None:
    """Draw a picture in another style: named in words, or that of another picture.

    \b
    tranh edit restyle picture.png "in watercolour" -o water.png
    tranh edit restyle picture.png "tranh màu nước" -o nuoc.png
    tranh edit restyle picture.png --like sketch.png -o sketched.png
    """
    from tranh.data.decode import read_picture
    from tranh.recipes.restyle import restyle as styling
    from tranh.types import Request

    paths = targets(ctx, output, None, range(seed, seed + count))
    request = Request(
        style, image=read_picture(picture), other=None if like is None else read_picture(like), source=source,
        strength=strength, count=count, seed=seed, steps=steps, guidance=guidance, size=size,
        allow_unknown=allow_unknown,
    )  # fmt: skip
    written(last(styling(drawing(model), request)), paths, [picture, *([like] if like else [])])
