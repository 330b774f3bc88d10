"""Verbs of a CLIP: ``search``, ``classify``, ``retrieve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tranh.cli.base import app, last, words

Model = Annotated[str, typer.Option(help="A name from `tranh models`, or an exported folder; it must have a CLIP.")]
Unknown = Annotated[bool, typer.Option("--allow-unknown", help="Take words the model was never taught.")]


@app.command()
def search(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="With pictures of any kind; or a .zip or .tar.")],
    prompt: Annotated[
        list[str] | None, typer.Argument(metavar="PROMPT", help="What the pictures show.", show_default=False)
    ] = None,
    image: Annotated[
        Path | None, typer.Option(metavar="PICTURE", help="Find pictures like this one.", show_default=False)
    ] = None,
    model: Model = "tranh-1",
    count: Annotated[int, typer.Option(min=1, help="How many are named.")] = 9,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="A sheet of them.", show_default="none")
    ] = None,
    allow_unknown: Unknown = False,
) -> None:
    """Find pictures in a folder by what they show, in English or Vietnamese, or by a picture.

    Each line is a cosine and a file, the nearest first. What was looked at once is remembered until the file changes.

    \b
    tranh search pictures "a red circle"
    tranh search pictures "một con mèo đen" --count 20 -o cats.png
    tranh search pictures --image cat.jpg --model my-clip
    """
    asked = " ".join(prompt or [])
    if bool(asked) == bool(image):
        ctx.fail('say what to look for: either a prompt (tranh search FOLDER "a red circle") or --image PICTURE')
    from tranh.data.decode import read_picture
    from tranh.engine.picture import check_target
    from tranh.recipes import caption_judge
    from tranh.recipes import search as searching

    if output is not None:
        check_target(output)
    where, judge = searching.place(folder), caption_judge.load(model)
    if image is not None:
        asked, wanted = f"like {image.name}", judge.embed_pictures([read_picture(image)])[0]
    else:
        understood = judge.understand(asked, allow_unknown)
        _say(understood.notices)
        wanted = judge.embed_captions([understood.text])[0]
    index = last(searching.index(judge, where))
    broken = [f"{name}: {why}" for name, why in index.broken.items()]
    _say([*broken[:5], *([f"... and {len(broken) - 5} more cannot be read"] if len(broken) > 5 else [])])
    found = searching.nearest(index, wanted, count)
    for one in found:
        typer.echo(f"{one.similarity:+.3f}  {folder / one.name}")
    if output is not None:
        typer.echo(searching.sheet_of(where, found, asked, output), err=True)


@app.command()
def classify(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE...", help="Files of pictures.")],
    labels: Annotated[str, typer.Option(help="What they may show, commas between: two or more.")],
    model: Model = "tranh-1",
    allow_unknown: Unknown = False,
) -> None:
    """Say which of some labels fits each picture best, without having been trained for them.

    The percentages compare these labels only: one of them always wins, also where none is true.

    \b
    tranh classify a.png b.jpg --labels "a circle,a square,a cat"
    tranh classify a.png --labels "một hình tròn,một con mèo" --model my-clip
    """
    from tranh.data.decode import read_picture
    from tranh.recipes import caption_judge
    from tranh.recipes import search as searching

    judge = caption_judge.load(model)
    typed = words(labels)
    understood = [judge.understand(label, allow_unknown) for label in typed]
    for label in understood:
        _say(label.notices)
    named = dict(zip((label.text for label in understood), typed, strict=True))
    opened = [(str(path), read_picture(path)) for path in pictures]
    for one in searching.classify(judge, opened, [label.text for label in understood]):
        shares = ", ".join(f"{named[label]} {100 * share:.0f} %" for label, share in one.shares[:3])
        typer.echo(f"{one.name}: {shares}")


@app.command()
def retrieve(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name from `tranh models`, or an exported folder.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the report goes.", show_default="retrieval/MODEL")
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="PATH", help="Own pictures, or `digits`.", show_default="Scenes")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Held-out pictures, at most.")] = 1000,
    levels: Annotated[str, typer.Option(help="Levels of Scenes, with commas.")] = "one",
    splits: Annotated[str, typer.Option(help="Of Scenes, with commas.")] = "test,unseen",
    languages: Annotated[
        str | None, typer.Option(help="Of the captions, with commas.", show_default="en,vi; own pictures: all")
    ] = None,
) -> None:
    """Measure whether captions find their pictures among held-out ones, and pictures their captions.

    R@1, R@5 and R@10 per language and, where pictures have classes, how many are named right; beside each what guessing
    gets.

    \b
    tranh retrieve tranh-1 --levels one,two
    tranh retrieve my-clip --data digits
    """
    from tranh.recipes import caption_judge, retrieval

    folder = out or Path("retrieval") / Path(model).name
    last(
        retrieval.evaluate(
            caption_judge.load(model), folder, data={"source": data} if data else None, levels=words(levels),
            splits=words(splits), languages=words(languages or ""), count=count,
        )
    )  # fmt: skip
    typer.echo((folder / "report.md").read_text("utf-8"))
    typer.echo(folder / "report.md")


def _say(notices: list[str] | tuple[str, ...]) -> None:
    for notice in notices:
        typer.echo(f"note: {notice}", err=True)
