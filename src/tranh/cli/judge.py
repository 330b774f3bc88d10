"""Verbs that judge: ``evaluate``, ``import-inception``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tranh.cli.base import app, drawing, last, words
from tranh.cli.options import Prior


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name from `tranh models`, or an exported folder.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the report goes.", show_default="evaluation/MODEL")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Prompts per level, language and split.")] = 1000,
    levels: Annotated[str, typer.Option(help="Levels of Scenes, with commas.")] = "one,two,full",
    languages: Annotated[str, typer.Option(help="Languages of the prompts, with commas.")] = "en,vi",
    splits: Annotated[str, typer.Option(help="Splits the prompts come from, with commas.")] = "test,unseen",
    size: Annotated[int, typer.Option(min=1, help="Pixels per side.")] = 64,
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps.", show_default="the model's own")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale.", show_default="the model's own")] = None,
    prior: Annotated[Prior | None, typer.Option(help="As for `generate`.", show_default="the model's own")] = None,
) -> None:
    """Measure how faithful a model is, by the verifier; writes JSON and a report with pictures.

    The same command goes on where it was stopped.

    \b
    tranh evaluate tranh-1 --count 100 --levels one,two --out report
    """
    from tranh.recipes import evaluate as evaluation
    from tranh.recipes import models

    folder = out or Path("evaluation") / Path(model).name
    events = evaluation.evaluate(
        drawing(model), models.verifier(), folder, count=count, levels=words(levels), languages=words(languages),
        splits=words(splits), size=size, steps=steps, guidance=guidance, prior=prior and prior.value,
    )  # fmt: skip
    last(events)
    typer.echo((folder / "report.md").read_text("utf-8"))
    typer.echo(folder / "report.html")


@app.command("import-inception")
def import_inception(
    source: Annotated[Path, typer.Argument(metavar="FILE.pth", help="pt_inception-2015-12-05-6726825d.pth.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="Where the converted weights go.")],
) -> None:
    """Convert published Inception weights, once, so that numbers may be called FID, KID and IS.

    \b
    tranh import-inception pt_inception-2015-12-05-6726825d.pth inception.safetensors
    """
    from tranh.recipes import inception

    header = inception.convert(source, out)
    known = (
        "the published weights" if header["published"] == "yes" else "not the published weights: no FID comes of them"
    )
    typer.echo(f"sha256 {header['source_sha256']}: {known}", err=True)
    typer.echo(out)
