"""The edit ``instruct``: a picture is changed as a sentence says."""

from __future__ import annotations

from typing import Annotated

import typer

from tranh.cli.base import drawing, edit, last
from tranh.cli.draw import targets, written
from tranh.cli.options import Count, Guidance, Model, Output, Picture, Seed, Steps, Unknown


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
        instruction, count=count, seed=seed, steps=steps, guidance=guidance, image=read_picture(picture),
        allow_unknown=allow_unknown,
    )  # fmt: skip
    written(last(following(drawing(model), request)), paths)
