"""Edits of parts: ``inpaint``, ``outpaint``, and ``img2img`` for the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tranh.cli.base import drawing, edit, last
from tranh.cli.draw import targets, written
from tranh.cli.options import Count, Guidance, Model, Negative, Output, Picture, Sampler, Seed, Size, Steps, Unknown

Whole = Annotated[str, typer.Argument(metavar="PROMPT", help="What the whole picture shows afterwards.")]
WhileSampling = Annotated[
    bool, typer.Option("--while-sampling", help="Mask a network that never learned to fill in, to compare.")
]


@edit.command()
def inpaint(
    ctx: typer.Context,
    picture: Picture,
    prompt: Whole,
    mask: Annotated[Path, typer.Option(metavar="MASK", help="A picture: white where to draw, black where to keep.")],
    output: Output = None,
    count: Count = 1,
    seed: Seed = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    sampler: Sampler = None,
    negative: Negative = "",
    while_sampling: WhileSampling = False,
    model: Model = "tranh-1",
    allow_unknown: Unknown = False,
) -> None:
    """Draw what a prompt says into the white part of a mask; every pixel outside stays exactly as it is.

    \b
    tranh edit inpaint picture.png "a small blue star at the top left" --mask mask.png -o new.png
    tranh edit inpaint picture.png "một ngôi sao" --mask mask.png --model my-glide
    """
    from tranh.data.decode import read_picture
    from tranh.recipes.inpaint import inpaint as filling
    from tranh.types import Request

    paths = targets(ctx, output, None, range(seed, seed + count))
    request = Request(
        prompt, negative, count=count, seed=seed, steps=steps, guidance=guidance, image=read_picture(picture),
        mask=read_picture(mask), allow_unknown=allow_unknown, sampler=sampler,
    )  # fmt: skip
    written(last(filling(drawing(model), request, while_sampling)), paths, [picture], request.mask)


@edit.command()
def outpaint(
    ctx: typer.Context,
    picture: Picture,
    prompt: Whole,
    extend: Annotated[
        str, typer.Option(help="How far to draw on: left,top,right,bottom, in sides of the picture.")
    ] = "0.25,0.25,0.25,0.25",
    output: Output = None,
    count: Count = 1,
    seed: Seed = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    sampler: Sampler = None,
    negative: Negative = "",
    while_sampling: WhileSampling = False,
    model: Model = "tranh-1",
    allow_unknown: Unknown = False,
) -> None:
    """Draw on beyond the borders of a picture, which stays exactly as it is in the midst of a larger square.

    \b
    tranh edit outpaint picture.png "a red car in a meadow" -o wide.png
    tranh edit outpaint picture.png "một chiếc xe trên bãi biển" --extend 0.5,0.5,0,0
    """
    from tranh.data.decode import read_picture
    from tranh.edits.inpaint import canvas
    from tranh.recipes.inpaint import outpaint as drawing_on
    from tranh.types import Request, TranhError

    paths, image = targets(ctx, output, None, range(seed, seed + count)), read_picture(picture)
    try:
        left, top, right, bottom = (float(share) for share in extend.split(","))
    except ValueError as error:
        raise TranhError(f"extend is {extend!r}; it is left,top,right,bottom, such as 0.25,0.25,0.25,0.25") from error
    request = Request(
        prompt, negative, count=count, seed=seed, steps=steps, guidance=guidance, image=image,
        extend=(left, top, right, bottom), allow_unknown=allow_unknown, sampler=sampler,
    )  # fmt: skip
    made = last(drawing_on(drawing(model), request, while_sampling))
    written(made, paths, [picture], canvas(image, request.extend)[1])


@edit.command()
def img2img(
    ctx: typer.Context,
    picture: Picture,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What the new picture shows.")],
    strength: Annotated[
        float, typer.Option(min=0, max=1, help="How far to noise and back: more keeps less of the picture.")
    ] = 0.6,
    output: Output = None,
    count: Count = 1,
    seed: Seed = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    negative: Negative = "",
    size: Size = None,
    model: Model = "tranh-1",
    allow_unknown: Unknown = False,
) -> None:
    """Draw a picture again as a prompt says, from the middle of its way to noise.

    \b
    tranh edit img2img sketch.png "a large red house in the snow" --strength 0.7 -o house.png
    """
    from tranh.data.decode import read_picture
    from tranh.recipes.img2img import img2img as beginning
    from tranh.types import Request

    paths = targets(ctx, output, None, range(seed, seed + count))
    request = Request(
        prompt, negative, count=count, seed=seed, steps=steps, guidance=guidance, size=size,
        image=read_picture(picture), strength=strength, allow_unknown=allow_unknown,
    )  # fmt: skip
    written(last(beginning(drawing(model), request)), paths, [picture])
