"""Verbs that judge: ``evaluate``, ``import-inception``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tranh.cli.base import app, drawing, last, words
from tranh.cli.options import Prior


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name from `tranh models`, or an exported folder.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the report goes.", show_default="evaluation/MODEL")
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="PATH", help="Own pictures it was trained on.", show_default="Scenes")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(metavar="JUDGE", help="For own pictures: an exported `tranh train matcher`.")
    ] = None,
    circular: Annotated[
        bool, typer.Option("--circular", help="Let a judge pass that is the model's own CLIP; the report says so.")
    ] = False,
    network: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="For own pictures: converted Inception.", show_default="verifier-1"),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, help="Prompts per level, language and split.", show_default="1000, own pictures 200"),
    ] = None,
    levels: Annotated[str, typer.Option(help="Levels of Scenes, with commas.")] = "one,two,full",
    languages: Annotated[
        str | None, typer.Option(help="Of the prompts, with commas.", show_default="en,vi; own pictures: all")
    ] = None,
    splits: Annotated[str, typer.Option(help="Of Scenes, with commas.")] = "test,unseen",
    size: Annotated[int, typer.Option(min=1, help="Pixels per side.")] = 64,
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps.", show_default="the model's own")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale.", show_default="the model's own")] = None,
    prior: Annotated[Prior | None, typer.Option(help="As for `generate`.", show_default="the model's own")] = None,
) -> None:
    """Measure how faithful a model is; writes JSON and a report with pictures.

    On Scenes the verifier checks every fact. On own pictures a caption judge, distances between sets, diversity and the
    guard against copying are asked. The same command goes on where it was stopped.

    \b
    tranh evaluate tranh-1 --count 100 --levels one,two --out report
    tranh evaluate my-model --data my-pictures --judge my-judge
    """
    from tranh.recipes import evaluate as evaluation
    from tranh.recipes import models
    from tranh.recipes.enlarged import Enlarged
    from tranh.types import TranhError

    folder = out or Path("evaluation") / Path(model).name
    how: dict[str, Any] = {"size": size, "steps": steps, "guidance": guidance, "prior": prior and prior.value}
    system: Any = drawing(model)
    if size not in getattr(system, "sizes", (size,)):  # a folder of diffusers draws at any
        system = Enlarged(system, size)
        typer.echo(f"{model} draws at {system.own} px; its pictures are brought to {size} px to be judged.", err=True)
    if data is None:
        if judge or network or circular:
            raise TranhError("--judge, --network and --circular are for own pictures: give --data PATH as well")
        spoken = words(languages or "en,vi")
        events = evaluation.evaluate(
            system, models.verifier(), folder, count=count or 1000, levels=words(levels), languages=spoken,
            splits=words(splits), **how,
        )  # fmt: skip
    else:
        from tranh.recipes import caption_judge, evaluate_pictures, networks

        events = evaluate_pictures.evaluate(
            system, {"source": data}, folder, judge=caption_judge.load(judge) if judge else None,
            circular=circular, network=networks.network(network or models.JUDGE), count=count or 200,
            languages=words(languages or ""), **how,
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
