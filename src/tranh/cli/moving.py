"""Edits that move: ``motion``, a moving picture of a sentence, and ``turn``, a picture seen from side to side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tranh.cli.base import drawing, edit, last
from tranh.cli.draw import filmed
from tranh.cli.options import SEED_LIMIT, Guidance, Model, Picture, Seed, Steps, Unknown

Film = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="A .webp, .gif or .mp4.")]
Fps = Annotated[float, typer.Option(help="Frames per second.")]


@edit.command()
def motion(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What moves, and how.")],
    begin: Annotated[
        Path | None,
        typer.Option("--from", metavar="PICTURE", help="The first frame.", show_default="drawn"),
    ] = None,
    output: Film = Path("motion.webp"),
    frames: Annotated[int, typer.Option(min=2, max=64, help="How many.")] = 16,
    fps: Fps = 12,
    seed: Annotated[int, typer.Option(min=0, max=SEED_LIMIT, help="Of all frames.")] = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    model: Model = "tranh-1",
    allow_unknown: Unknown = False,
) -> None:
    """Make a moving picture of a sentence: something moves in one of eight directions, grows, shrinks, appears, or
    changes colour.

    \b
    tranh edit motion "a red ball moving from left to right" -o ball.webp
    tranh edit motion "một ngôi sao vàng lớn dần lên" -o sao.gif
    """
    from tranh.data.decode import read_picture
    from tranh.engine.animated import check_animation, check_rate
    from tranh.recipes.moving import moving
    from tranh.types import Request

    check_animation(output)
    check_rate(fps)
    image = None if begin is None else read_picture(begin)
    request = Request(
        prompt, image=image, seed=seed, frames=frames, steps=steps, guidance=guidance, allow_unknown=allow_unknown
    )  # fmt: skip
    made = last(moving(drawing(model), request))
    filmed(made, output, fps, opened=[begin] if begin else [])


@edit.command()
def turn(
    picture: Picture,
    behind: Annotated[
        str, typer.Option(metavar="PROMPT", help="What lies behind the things.", show_default=False)
    ] = "",
    shift: Annotated[
        float, typer.Option(min=0, max=0.5, help="How far each layer moves, in sides of the picture.")
    ] = 0.05,
    output: Film = Path("turn.webp"),
    frames: Annotated[int, typer.Option(min=2, max=256, help="How many.")] = 24,
    fps: Fps = 12,
    seed: Seed = 0,
    steps: Steps = None,
    model: Model = "tranh-1",
    allow_unknown: Unknown = False,
) -> None:
    """Turn a picture from side to side: what is nearer moves further, and what was hidden is drawn anew.

    \b
    tranh edit turn picture.png --behind "a beach at sunset" -o turn.webp
    """
    from tranh.data.decode import read_picture
    from tranh.engine.animated import check_animation, check_rate
    from tranh.recipes.turn import turn as turning
    from tranh.types import Request

    check_animation(output)
    check_rate(fps)
    request = Request(
        behind, image=read_picture(picture), seed=seed, frames=frames, steps=steps, allow_unknown=allow_unknown
    )  # fmt: skip
    made = last(turning(drawing(model), request, shift))
    filmed(made, output, fps, opened=[picture])
