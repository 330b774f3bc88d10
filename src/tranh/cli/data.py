"""Verbs of data, behind the word ``data``: ``preview``, ``doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tranh.cli.base import data, last
from tranh.cli.options import Language


@data.command()
def preview(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The source of captioned pictures: scenes.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The sheet to write.")] = Path("sheet.png"),
    level: Annotated[str, typer.Option(help="How much a picture shows: one, two or full.")] = "two",
    split: Annotated[str, typer.Option(help="train, validation, test or unseen.")] = "train",
    count: Annotated[int, typer.Option(min=1, max=400, help="How many pictures.")] = 24,
    size: Annotated[int, typer.Option(min=16, max=512, help="Pixels per side of each.")] = 128,
    language: Annotated[Language, typer.Option(help="Of the captions.")] = Language.both,
) -> None:
    """Draw a sheet of training pictures with their captions.

    \b
    tranh data preview scenes --level two -o sheet.png
    tranh data preview scenes --level full --split unseen --language vi --count 12
    """
    from tranh.engine.picture import check_target, save_picture
    from tranh.recipes.preview import preview as draw

    check_target(output)
    sheet = draw(source, level=level, split=split, count=count, size=size, language=language.value)
    asked = {"source": source, "level": level, "split": split, "count": count, "size": size, "language": language.value}
    typer.echo(save_picture(sheet, output, asked))


@data.command()
def doctor(
    source: Annotated[str, typer.Argument(metavar="PATH", help="A folder, shards, a table ... of captioned pictures.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The report; findings.json is written beside it.")] = Path(
        "report.html"
    ),
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Whose tokenizer counts tokens.", show_default="tranh-1")
    ] = None,
    clip: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Look for captions that do not fit, with this model's CLIP.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="What the path is read as.", show_default="by looking")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Most pictures looked at, spread evenly.", show_default="all")
    ] = None,
) -> None:
    """Look for faults in captioned pictures, say the remedy, and write a report. Exit code 1 if there is a fault.

    \b
    tranh data doctor my-pictures
    tranh data doctor "shards/{00000..00099}.tar" --limit 5000 --out shards.html
    tranh data doctor my-pictures --clip tranh-1
    """
    from tranh.recipes.data_doctor import examine

    examined = last(examine(source, out, model=model, clip=clip, kind=kind, limit=limit))
    marks = {"fault": "FAULT", "warning": "warning", "note": "note"}
    for finding in examined.findings:
        typer.echo(f"{marks[finding.severity]:8}{finding.name}: {finding.seen}")
        if finding.severity != "note":
            typer.echo(f"{'':8}remedy: {finding.remedy}")
    if all(finding.severity == "note" for finding in examined.findings):
        typer.echo(f"{'ok':8}{examined.pictures} pictures, {examined.captions} captions: no fault, no warning")
    typer.echo(examined.report)
    if examined.faults:
        raise typer.Exit(1)
