"""The verb that asks people: ``rate``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tranh.cli.base import app, last, words

if TYPE_CHECKING:
    from tranh.serve.rating.study import Study


@app.command()
def rate(
    systems: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="A B [C ...]", help="Folders of captioned pictures or evaluations; with --prompts, models."
        ),
    ] = None,
    votes: Annotated[Path, typer.Option(help="The file of votes; the same one goes on.")] = Path("votes.sqlite"),
    questions: Annotated[str, typer.Option(help="What is asked, with commas.")] = "photorealism,caption,diversity",
    per_rater: Annotated[int, typer.Option(min=1, max=1000, help="Comparisons per rater, besides the checks.")] = 30,
    most: Annotated[int, typer.Option(min=1, help="Captions used; of more, so many are drawn at random.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of every random choice.")] = 0,
    prompts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="One prompt a line; models draw them first.", show_default=False)
    ] = None,
    samples: Annotated[int, typer.Option(min=1, max=9, help="Pictures a model draws of each prompt.")] = 4,
    host: Annotated[str, typer.Option(help="To listen on; any but this machine's own needs --token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8765,
    token: Annotated[
        str, typer.Option(help="A word of 8 letters or more that raters get in their link.", show_default=False)
    ] = "",
    lang: Annotated[str, typer.Option(help="Language the page begins in: en, vi, or auto for the browser's.")] = "auto",
    results: Annotated[bool, typer.Option("--results", help="Print what the votes say, and stop.")] = False,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the raw votes, and stop.", show_default=False)
    ] = None,
) -> None:
    """Let people compare systems, blind, on a page in English and Vietnamese.

    Raters see two pictures of one caption from two systems and do not learn which is whose. Every vote is kept in the
    file of votes; strengths and win rates with their intervals are on the page whose address is printed.

    \b
    tranh rate evaluation/a evaluation/b
    tranh rate tranh-1 my-model --prompts prompts.txt
    tranh rate --votes votes.sqlite --results
    tranh rate --votes votes.sqlite --csv votes.csv
    """
    from tranh.serve.rating.votes import Votes
    from tranh.types import TranhError

    if results or csv:
        _read(votes, results, csv)
        return
    if lang not in ("auto", "en", "vi"):
        raise TranhError(f"--lang is {lang!r}; allowed: auto, en, vi")
    study = _study(systems or [], words(questions), per_rater, most, seed, prompts, samples, votes)
    for note in study.notes:
        typer.echo(f"note: {note}", err=True)
    kept = Votes(votes)
    kept.begin(study.protocol)
    from tranh.serve.rating.serve import listen

    def ready(rater: str, owner: str) -> None:
        typer.echo(f"raters:  {rater}\nresults: {owner}")
        typer.echo(f"votes are kept in {votes}; Ctrl-C stops, the same command goes on", err=True)

    try:
        listen(study, kept, host=host, port=port, token=token, language=lang, ready=ready)
    finally:
        kept.close()


def _read(votes: Path, results: bool, csv: Path | None) -> None:
    from tranh.files import write_bytes
    from tranh.serve.rating.results import as_csv, as_text
    from tranh.serve.rating.results import results as of
    from tranh.serve.rating.votes import Votes
    from tranh.types import TranhError

    if not votes.is_file():
        raise TranhError(f"{votes} is not there: name the file of votes with --votes, or begin a study")
    kept = Votes(votes)
    records = kept.all()
    protocol = kept.protocol() or {}
    kept.close()
    if csv:
        write_bytes(csv, as_csv(records).encode())
        typer.echo(csv)
    if results:
        typer.echo(as_text(of(records, list(protocol.get("systems", {})))))


def _study(
    systems: list[str], questions: tuple[str, ...], per_rater: int, most: int, seed: int, prompts: Path | None,
    samples: int, votes: Path,
) -> Study:  # fmt: skip
    from tranh.serve.rating import systems as sources
    from tranh.serve.rating.study import study
    from tranh.types import TranhError

    asked = sources.read_prompts(prompts) if prompts else []
    found = []
    for given, name in zip(systems, sources.names(systems), strict=True):
        is_model = (Path(given) / "system.json").is_file() or not Path(given).exists()
        if is_model and not prompts:
            raise TranhError(f"{given} is a model, or nothing: give --prompts FILE, and it draws its pictures first")
        if is_model:
            folder = votes.with_suffix(".pictures") / re.sub(r"[^\w.-]+", "-", name)
            found.append(last(sources.draw(given, asked, folder, name, samples=samples, seed=seed)))
        else:
            found.append(sources.read(Path(given), name))
    return study(found, questions=questions, per_rater=per_rater, most=most, seed=seed)
