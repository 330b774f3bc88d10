"""Verbs of models that encode and decode, and of what is made of them: ``reconstruct``, ``anomalies``, ``augment``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tranh.cli.base import app, drawing, last


@app.command()
def reconstruct(
    model: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Exported folders, side by side.")],
    data: Annotated[
        str | None, typer.Option(metavar="PATH", help="Pictures to rebuild, or `digits`.", show_default="Scenes")
    ] = None,
    level: Annotated[str, typer.Option(help="Of Scenes.")] = "one",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the report goes.")] = Path("reconstruction"),
    count: Annotated[int, typer.Option(min=16, max=10_000, help="Held-out pictures.")] = 256,
    size: Annotated[
        int | None, typer.Option(min=2, help="Pixels per side.", show_default="the largest model's")
    ] = None,
) -> None:
    """Compare how well models rebuild pictures: PSNR, SSIM, sharpness difference, and a grid of pictures.

    Beside them stand two baselines: the mean picture, and PCA with as many numbers as each model keeps.

    \b
    tranh reconstruct my-autoencoder my-vae --data digits --out side-by-side
    """
    from tranh.recipes import models
    from tranh.recipes.reconstruct import reconstruct as compare

    source = {"source": "scenes", "levels": {level: 1.0}} if data is None else {"source": data}
    names = [Path(name).name for name in model]
    if len(set(names)) < len(names):
        names = list(model)
    last(compare({n: models.load(m) for n, m in zip(names, model, strict=True)}, source, out, count=count, size=size))
    typer.echo((out / "report.md").read_text("utf-8"))
    typer.echo(out / "reconstruct.png")


@app.command()
def anomalies(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An exported folder that encodes and decodes.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Pictures to look through.", exists=True)],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the list and the picture go.")] = Path("anomalies"),
    worst: Annotated[int, typer.Option(min=1, max=256, help="How many are told and drawn.")] = 16,
) -> None:
    """Find the pictures of a folder that a model cannot rebuild: they are not like those it was trained on.

    \b
    tranh anomalies my-autoencoder pictures --worst 8 --out odd
    """
    from tranh.recipes import latent_edits, models
    from tranh.recipes.reconstruct import coder

    found = last(latent_edits.anomalies(coder(models.load(model), Path(model).name), folder, out, worst))
    for odd in found[:worst]:
        typer.echo(f"{odd.score:.5f}  {odd.name}")
    typer.echo(out / "anomalies.png")


@app.command()
def augment(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An exported folder that draws captions.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder for the pictures.")],
    data: Annotated[str, typer.Option(metavar="PATH", help="Whose classes are drawn: a labelled folder, or `digits`.")],
    per_class: Annotated[int, typer.Option("--per-class", min=1, max=100_000, help="Pictures of each class.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of the first picture; the others' follow.")] = 0,
    language: Annotated[str | None, typer.Option(help="Of the captions.", show_default="the first there is")] = None,
) -> None:
    """Draw a labelled data set: so many pictures of each class, as a folder with metadata.jsonl.

    \b
    tranh augment my-vae more-digits --data digits --per-class 50
    tranh data inspect more-digits
    """
    from tranh.recipes.augment import augment as draw

    made = last(draw(drawing(model), {"source": data}, out, per_class=per_class, seed=seed, language=language))
    typer.echo(f"{made} pictures in {out}; look at them: tranh data inspect {out}")
