"""Verbs that train: ``plan``, ``train``, ``doctor``, ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tranh.cli.base import app, last
from tranh.cli.options import Dtype, Target


@app.command()
def train(
    ctx: typer.Context,
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Its name, for example quick or unclip.")],
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes: key=value, or stage.key=value.")
    ] = None,
    run: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to train.", show_default="runs/RECIPE")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="Wall-clock time for all; the speed is measured first.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the recipe with every setting resolved, and stop.")
    ] = False,
    only: Annotated[str | None, typer.Option(metavar="STAGE", help="Train this stage alone.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Start although the doctor names a sure fault.")] = False,
) -> None:
    """Train a recipe, all its stages in order. The same command goes on where it was stopped.

    \b
    tranh train quick --run runs/quick
    tranh train unclip decoder.batch=32 --minutes 600
    tranh train unclip --only prior --run runs/unclip
    tranh train unclip data=my-pictures --minutes 120
    tranh train unclip data=my-pictures init=tranh-1 --minutes 60
    tranh train quick --dry-run
    """
    from tranh.engine.progress import show
    from tranh.recipes import run as recipes
    from tranh.recipes.settings import configured

    chosen = configured(recipe, settings or [])
    root = run or Path("runs") / chosen.name
    if dry_run:
        typer.echo(recipes.describe(chosen, root))
        return
    typer.echo(f"report: {root / 'report.html'}", err=True)
    for event in show(recipes.train(chosen, root, minutes=minutes, only=only, force=force)):
        if event.result is not None and not event.result.finished:
            raise KeyboardInterrupt  # the engine has saved; it was asked to stop
    typer.echo(root)


@app.command()
def plan(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Its name, for example quick or unclip.")],
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes: key=value, or stage.key=value.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="The time there is for all stages together.")] = None,
    run: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where it would be trained.", show_default="runs/RECIPE")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Time for the steps that are measured.")] = 30.0,
) -> None:
    """Measure this machine with a few real steps of every stage: how long, how much memory and disk, what to expect.

    \b
    tranh plan quick
    tranh plan quick --minutes 30
    tranh plan unclip decoder.batch=64 --run runs/unclip
    """
    from tranh.recipes import plan as planner
    from tranh.recipes.settings import configured

    chosen = configured(recipe, settings or [])
    typer.echo(planner.text(last(planner.make(chosen, run or Path("runs") / chosen.name, minutes, seconds))))


@app.command()
def doctor(run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, finished or not.")]) -> None:
    """Look for faults in a training run, all its stages or one, and say the remedy. Exit code 1 if there is a fault.

    \b
    tranh doctor runs/quick
    tranh doctor runs/quick/decoder
    """
    from tranh.recipes import doctor as surgery

    diagnosis = last(surgery.examine(run))
    for finding in diagnosis.findings:
        mark = "ok" if finding.ok else "FAULT" if finding.sure else "warning"
        about = f"{finding.stage}: {finding.name}" if finding.stage else finding.name
        typer.echo(f"{mark:8}{about}: {finding.seen}")
        if finding.remedy:
            typer.echo(f"{'':8}remedy: {finding.remedy}")
    for reason in diagnosis.not_asked:
        typer.echo(f"{'?':8}{reason}")
    if diagnosis.faults:
        raise typer.Exit(1)


@app.command()
def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The folder a recipe was trained in, or a model.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for the model.")],
    dtype: Annotated[Dtype, typer.Option(help="How the weights are kept.")] = Dtype.bf16,
    to: Annotated[Target, typer.Option(help="For whom: this project, or the part that another library runs.")] = (
        Target.tranh
    ),
    card: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON: what people should know (name, summary, guidance, ...).")
    ] = None,
    more: Annotated[
        list[Path] | None,
        typer.Option("--with", metavar="RUN", help="Another training whose parts go along.", show_default=False),
    ] = None,
    one_file: Annotated[bool, typer.Option("--one-file", help="Keep the weights of all parts in one file.")] = False,
) -> None:
    """Write a trained recipe as one self-contained folder, which `--model DIR` and `tranh.load(DIR)` open.

    `--with` joins what other trainings learned to do with pictures: parts that help a model which knows the same words.

    With `--to diffusers` the decoder is written for stock diffusers, with `--to transformers` CLIP for CLIPModel; both
    take a run or the name of a model.

    \b
    tranh export runs/quick my-model --dtype int8 --card card.json
    tranh "một ngôi sao vàng" --model my-model
    tranh export my-model my-decoder --to diffusers
    tranh export runs/editor my-edits --with runs/motion --with runs/depth --one-file
    """
    from tranh.files import read_json
    from tranh.recipes.exported import export as write
    from tranh.types import TranhError

    if to is Target.tranh:
        told = read_json(card) if card is not None else {}
        typer.echo(write(Path(run), folder, dtype.value, told, more or (), one_file))
        return
    if more or one_file:
        raise TranhError(f"`--to {to.value}` writes one part of one training: leave --with and --one-file out")
    from tranh.recipes.elsewhere import export_to

    if card is not None:
        raise TranhError(f"a card belongs to a model of this project; `--to {to.value}` writes none: leave --card out")
    typer.echo(export_to(to.value, run, folder))
