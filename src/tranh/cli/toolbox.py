"""Edits by a picture's CLIP embedding and its noise: ``variation``, ``interpolate``, ``textdiff``, ``sweep``,
``reconstruct``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tranh.cli.base import drawing, edit, last
from tranh.cli.draw import noted, put, targets, written
from tranh.cli.options import SEED_LIMIT, Size

if TYPE_CHECKING:
    from tranh.recipes.pictures import Pictures

Picture = Annotated[Path, typer.Argument(metavar="PICTURE", help="The file to begin from.")]
Model = Annotated[str, typer.Option(help="A name from `tranh models`, or an exported folder of a hierarchy.")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")]
Source = Annotated[str, typer.Option(metavar="TEXT", help="What the picture shows, if known.", show_default=False)]
Seed = Annotated[int, typer.Option(min=0, max=SEED_LIMIT, help="Another seed gives another picture.")]
Count = Annotated[int, typer.Option(min=1, max=1000, help="How many pictures; each is named by its seed.")]
Candidates = Annotated[int, typer.Option(min=1, max=1000, help="Drawn for each picture; CLIP keeps the nearest.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Steps each way.", show_default="24")]
Frames = Annotated[int, typer.Option(min=2, max=1000, help="Pictures of the strip.")]
Unknown = Annotated[bool, typer.Option("--allow-unknown", help="Take words the model was never taught.")]


@edit.command()
def reconstruct(
    picture: Picture,
    source: Source = "",
    output: Output = Path("out.png"),
    steps: Steps = None,
    size: Size = None,
    seed: Seed = 0,
    model: Model = "tranh-1",
    allow_unknown: Unknown = False,
) -> None:
    """Draw a picture again, from its CLIP embedding and the noise found for it; tells how near it comes.

    \b
    tranh edit reconstruct cat.png -o again.png
    """
    from tranh.data.decode import read_picture
    from tranh.engine.picture import check_target
    from tranh.recipes import toolbox
    from tranh.types import Request

    check_target(output)
    request = Request(
        "", image=read_picture(picture), source=source, steps=steps, size=size, seed=seed, allow_unknown=allow_unknown
    )
    made = last(toolbox.reconstruct(drawing(model), request))
    told = made.settings[0]
    noise = f"mean {told['noise_mean']:+.3f} and variance {told['noise_variance']:.3f}"
    typer.echo(f"PSNR {told['psnr']:.1f} dB; noise of {noise}", err=True)
    written(made, [output], [picture])


@edit.command()
def variation(
    ctx: typer.Context,
    picture: Picture,
    source: Source = "",
    keep: Annotated[
        float, typer.Option(min=0, max=1, help="How much stays: 1 the picture itself, 0 its embedding alone.")
    ] = 0.5,
    output: Output = Path("out.png"),
    count: Count = 1,
    seed: Seed = 0,
    candidates: Candidates = 1,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale.", show_default="the model's own")] = None,
    steps: Steps = None,
    size: Size = None,
    model: Model = "tranh-1",
    allow_unknown: Unknown = False,
) -> None:
    """Draw other pictures that mean the same.

    \b
    tranh edit variation cat.png --count 4 -o cats.png
    tranh edit variation cat.png --keep 0.2 --source "a sleepy cat in the snow"
    """
    from tranh.data.decode import read_picture
    from tranh.recipes import toolbox
    from tranh.types import Request

    paths = targets(ctx, output, None, range(seed, seed + count))
    request = Request(
        "", image=read_picture(picture), source=source, strength=1 - keep, count=count, seed=seed,
        candidates=candidates, guidance=guidance, steps=steps, size=size, allow_unknown=allow_unknown,
    )  # fmt: skip
    written(last(toolbox.vary(drawing(model), request)), paths, [picture])


@edit.command()
def textdiff(
    ctx: typer.Context,
    picture: Picture,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What the picture should show.")],
    source: Source = "",
    strength: Annotated[float, typer.Option(min=0, max=1, help="How far it is moved; 0 gives it back.")] = 1.0,
    output: Output = Path("out.png"),
    count: Count = 1,
    seed: Seed = 0,
    candidates: Candidates = 1,
    guidance: Annotated[
        float | None, typer.Option(help="How far from what it was.", show_default="the edit's own")
    ] = None,
    steps: Steps = None,
    size: Size = None,
    model: Model = "tranh-1",
    allow_unknown: Unknown = False,
) -> None:
    """Move a picture along the difference of two captions: from --source to the prompt.

    \b
    tranh edit textdiff star.png "a pink star on the left" --source "a red star on the left"
    tranh edit textdiff sao.png "một ngôi sao hồng ở mép trái" --source "một ngôi sao đỏ ở mép trái" -o hong.png

    The decoder is told both captions: what they say alike stays, what neither says may change.
    """
    from tranh.data.decode import read_picture
    from tranh.recipes import toolbox
    from tranh.types import Request

    paths = targets(ctx, output, None, range(seed, seed + count))
    request = Request(
        prompt, image=read_picture(picture), source=source, strength=strength, count=count, seed=seed,
        candidates=candidates, guidance=guidance, steps=steps, size=size, allow_unknown=allow_unknown,
    )  # fmt: skip
    written(last(toolbox.diff(drawing(model), request)), paths, [picture])


@edit.command()
def interpolate(
    picture: Picture,
    other: Annotated[Path, typer.Argument(metavar="OTHER", help="The file to end at.")],
    source: Source = "",
    prompt: Annotated[str, typer.Option(metavar="TEXT", help="What the other shows.", show_default=False)] = "",
    frames: Frames = 8,
    output: Output = Path("walk.png"),
    seed: Seed = 0,
    steps: Steps = None,
    size: Size = None,
    model: Model = "tranh-1",
    allow_unknown: Unknown = False,
) -> None:
    """Walk from one picture to another, in what they mean and in their noise; a strip of pictures is written.

    \b
    tranh edit interpolate cat.png house.png --frames 8 -o walk.png
    """
    from tranh.data.decode import read_picture
    from tranh.engine.picture import check_target
    from tranh.recipes import toolbox
    from tranh.types import Request

    check_target(output)
    request = Request(
        prompt, image=read_picture(picture), other=read_picture(other), source=source, frames=frames, seed=seed,
        steps=steps, size=size, allow_unknown=allow_unknown,
    )  # fmt: skip
    made = last(toolbox.interpolate(drawing(model), request))
    _write_strip(made, [f"{told['share']:.2f}" for told in made.settings], output, [picture, other])


@edit.command()
def sweep(
    picture: Picture,
    component: Annotated[int, typer.Option(min=1, help="Which, from the strongest.")] = 1,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Pictures to find components in.", show_default="the model's own"),
    ] = None,
    source: Source = "",
    frames: Frames = 7,
    output: Output = Path("sweep.png"),
    seed: Seed = 0,
    steps: Steps = None,
    size: Size = None,
    model: Model = "tranh-1",
    allow_unknown: Unknown = False,
) -> None:
    """Give a picture less and more of a principal component of CLIP's embeddings; a strip of pictures is written.

    \b
    tranh edit sweep cat.png --component 2 -o second.png
    tranh edit sweep cat.png --folder my-pictures
    """
    from tranh.data.decode import read_picture
    from tranh.engine.picture import check_target
    from tranh.recipes import toolbox
    from tranh.types import Request

    check_target(output)
    request = Request(
        "", image=read_picture(picture), source=source, frames=frames, seed=seed, steps=steps, size=size,
        allow_unknown=allow_unknown,
    )  # fmt: skip
    made = last(toolbox.swept(drawing(model), request, component, folder))
    _write_strip(made, [f"{told['amount']:+.1f}" for told in made.settings], output, [picture])


def _write_strip(made: Pictures, words: list[str], path: Path, opened: list[Path]) -> None:
    import numpy as np

    from tranh.engine.sheet import sheet
    from tranh.nn.pixels import to_images

    noted(made)
    images = to_images(np.stack([np.asarray(image) for image in made.images]))
    strip = sheet(images, words, len(words), max(128, images.shape[-1]))
    typer.echo(put(strip, path, made.settings[0] | {"frames": len(words)}, opened))
