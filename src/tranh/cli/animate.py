"""The edit ``animate``: a walk from prompt to prompt, picture to picture, seed to seed, as one moving picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tranh.cli.base import edit, last, words
from tranh.cli.draw import filmed
from tranh.cli.options import SEED_LIMIT


@edit.command()
def animate(
    keys: Annotated[list[str], typer.Argument(metavar="KEYS...", help="Prompts and files of pictures, in order.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .webp, .gif or .mp4.")] = Path("walk.webp"),
    frames: Annotated[int, typer.Option(min=2, max=1000, help="How many.")] = 24,
    fps: Annotated[float, typer.Option(help="Frames per second.")] = 12,
    loop: Annotated[bool, typer.Option(help="The last leads back to the first, and it is played again.")] = True,
    seed: Annotated[int, typer.Option(min=0, max=SEED_LIMIT, help="Of every key.")] = 0,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...", help="One per key; one prompt alone is walked through them.", show_default=False
        ),
    ] = None,
    even: Annotated[bool, typer.Option(help="At an even pace for the eye; it is drawn three times for this.")] = True,
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps.", show_default="the model's own")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale.", show_default="the model's own")] = None,
    size: Annotated[int | None, typer.Option(min=1, help="Pixels per side.", show_default="as drawn")] = None,
    model: Annotated[str, typer.Option(help="A name from `tranh models`, or an exported folder.")] = "tranh-1",
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="Draw a prompt with words the model was never taught.")
    ] = False,
) -> None:
    """Walk through what pictures are made of, and write the way as an animation.

    Between two prompts both the embeddings and what the words say change little by little; between two pictures their
    embeddings; between two seeds the noise. A word that names a file is that picture.

    \b
    tranh edit animate "a red circle" "a blue square" "một ngôi sao vàng" -o walk.webp
    tranh edit animate "a happy cat on a beach" --seeds 1,2,3 -o seeds.gif
    tranh edit animate a.png b.png --no-loop --frames 48 --fps 24 -o walk.mp4
    tranh edit animate a.png b.png --model my-vae -o latents.webp
    """
    from tranh.data.decode import read_picture
    from tranh.engine.animated import check_animation, check_rate
    from tranh.engine.picture import SUFFIXES
    from tranh.recipes import models
    from tranh.recipes.walks import animate as walking
    from tranh.types import Request, TranhError

    check_animation(output)
    check_rate(fps)
    try:
        chosen = [int(one) for one in words(seeds or "")]
    except ValueError as error:
        raise TranhError(f"the seeds are {seeds!r}; they are whole numbers, such as 1,2,3") from error
    passed = [read_picture(Path(key)) if Path(key).suffix.lower() in SUFFIXES else key for key in keys]
    request = Request(
        "", seed=seed, frames=frames, steps=steps, guidance=guidance, size=size, allow_unknown=allow_unknown
    )  # fmt: skip
    made = last(walking(models.load(model), request, passed, chosen, loop=loop, rounds=2 if even else 0))
    shown = [Path(key) for key in keys if Path(key).suffix.lower() in SUFFIXES]
    filmed(made, output, fps, loop, shown)
