"""Verbs of data, behind the word ``data``: ``preview``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tranh.cli.base import data
from tranh.cli.options import Language


@data.command()
def preview(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="scenes, or a path of captioned pictures.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The sheet to write.")] = Path("sheet.png"),
    level: Annotated[str, typer.Option(help="Of Scenes, how much a picture shows: one, two or full.")] = "two",
    split: Annotated[str, typer.Option(help="Of Scenes: train, validation, test or unseen.")] = "train",
    count: Annotated[int, typer.Option(min=1, max=400, help="How many pictures.")] = 24,
    size: Annotated[int, typer.Option(min=16, max=512, help="Pixels per side of each.")] = 128,
    language: Annotated[Language, typer.Option(help="Of the captions.")] = Language.both,
) -> None:
    """Draw a sheet of training pictures with their captions.

    \b
    tranh data preview scenes --level two -o sheet.png
    tranh data preview scenes --level full --split unseen --language vi --count 12
    tranh data preview my-pictures --language vi
    """
    from tranh.engine.picture import check_target, save_picture
    from tranh.recipes.preview import preview as draw

    check_target(output)
    sheet = draw(source, level=level, split=split, count=count, size=size, language=language.value)
    asked = {"source": source, "level": level, "split": split, "count": count, "size": size, "language": language.value}
    typer.echo(save_picture(sheet, output, asked))
