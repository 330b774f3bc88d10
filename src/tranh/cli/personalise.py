"""Verbs of subjects: ``personalise`` teaches one from pictures, ``subjects`` lists and removes them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tranh.cli.base import app

Shelf = Annotated[
    Path | None, typer.Option("--subjects", metavar="DIR", help="Where subjects are kept.", show_default="your own")
]


@app.command()
def personalise(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A word of your own, which the model does not know.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="With 3 to 10 pictures of it.")],
    model: Annotated[str, typer.Option(help="A hierarchy, or a Stable Diffusion folder.")] = "tranh-1",
    steps: Annotated[int | None, typer.Option(min=1, help="Of training.", show_default="the recipe's")] = None,
    minutes: Annotated[float, typer.Option(help="Take fewer steps where this is too short for all.")] = 10.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the training.")] = 0,
    again: Annotated[bool, typer.Option("--again", help="Replace a subject of this name.")] = False,
    subjects: Shelf = None,
) -> None:
    """Teach a model a new subject from 3 to 10 pictures; prompts then call it by its name.

    What it will take is measured and printed before it begins. Stopped, the same command goes on; a subject is there
    only when it is whole. Pictures on plain grounds teach most; captions may lie beside them (picture.txt).

    \b
    tranh personalise zorgle my-pictures
    tranh "a <zorgle> on a beach"
    tranh "một <zorgle> lớn ở bên trái một hình tròn đỏ"
    """
    from tranh.engine.progress import show
    from tranh.recipes.models import load
    from tranh.recipes.personalise import Estimate
    from tranh.recipes.personalise import personalise as teach

    kept = None
    for event in show(teach(
        load(model), name, folder, place=subjects, steps=steps, minutes=minutes, seed=seed, again=again
    )):  # fmt: skip
        if isinstance(event.result, Estimate):
            typer.echo(str(event.result), err=True)
        kept = event.result
    typer.echo(kept)


app.command(name="personalize", hidden=True)(personalise)


@app.command()
def subjects(
    remove: Annotated[str | None, typer.Option(metavar="NAME", help="Forget this one.", show_default=False)] = None,
    place: Shelf = None,
) -> None:
    """List the subjects that were taught, or forget one.

    \b
    tranh subjects
    tranh subjects --remove zorgle
    """
    from tranh.recipes import shelf

    where = shelf.shelf(place)
    if remove is not None:
        shelf.remove(where, remove)
    found = shelf.learned(where)
    if not found:
        typer.echo(f"no subject is in {where}: teach one (tranh personalise NAME FOLDER)", err=True)
    for name, card in found.items():
        base = card["base"]
        learned = f"{card['pictures']} pictures, {card['steps']} steps"
        typer.echo(f"<{name}>  {learned}, beside {base['name']} {base['hash']}")
