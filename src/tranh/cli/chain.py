"""Verbs of the chain of DDPM: ``forward`` draws it, ``likelihood`` says what pictures cost a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tranh.cli.base import app, last, words


@app.command()
def forward(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="Any picture; its middle square is shown.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The strip to write.")] = Path("forward.png"),
    schedule: Annotated[str, typer.Option(help="linear, cosine, or both with a comma.")] = "linear,cosine",
    count: Annotated[int, typer.Option(min=2, max=50, help="Pictures in a row.")] = 8,
    size: Annotated[int, typer.Option(min=8, max=512, help="Pixels per side that are noised.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise.")] = 0,
) -> None:
    """Draw the forward process of diffusion: a picture noised step by step, with time and signal-to-noise below.

    \b
    tranh forward cat.png -o forward.png
    tranh forward cat.png --schedule cosine --count 12
    """
    import numpy as np

    from tranh.data.decode import read_picture
    from tranh.data.fit import square
    from tranh.engine.picture import check_target
    from tranh.nn.pixels import to_images
    from tranh.recipes.strip import strip as drawn

    check_target(output)
    image = to_images(np.asarray(square(read_picture(picture), size))[None])[0]
    drawn(image, words(schedule), count, seed).save(output)
    typer.echo(output)


@app.command()
def likelihood(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run that can tell, for example runs/ddpm.")],
    count: Annotated[int, typer.Option(min=2, max=10_000, help="Held-out pictures.")] = 16,
) -> None:
    """Say how many bits per dimension a model needs for held-out pictures, and how many a histogram of every pixel.

    Of DDPM that is the whole variational bound, one pass of the network for each of its 1000 terms.

    \b
    tranh likelihood runs/ddpm
    tranh likelihood runs/ddpm --count 64
    """
    from tranh.recipes.bits import measure

    found = last(measure(run, count))
    model = found.model
    typer.echo(f"{found.stage}: {model.value:.3f} bits per dimension [{model.low:.3f}, {model.high:.3f}]")
    typer.echo(f"histogram of every pixel: {found.histogram:.3f}")
    typer.echo(f"held-out pictures: {found.count}")
