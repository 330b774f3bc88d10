"""Verbs that make pictures: ``generate``, and ``models`` to choose from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from tranh.cli.base import app, drawing, last
from tranh.cli.options import SEED_LIMIT, Format, Prior

if TYPE_CHECKING:
    from PIL.Image import Image

    from tranh.types import Region

Number = TypeVar("Number", int, float)


@app.command()
def generate(
    ctx: typer.Context,
    prompt: Annotated[list[str], typer.Argument(metavar="PROMPT", help="What the picture shows.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write.", show_default="out.png")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many pictures; each is named by its seed.")] = 1,
    seed: Annotated[int, typer.Option(min=0, max=SEED_LIMIT, help="Of the first picture; the next has seed + 1.")] = 0,
    seeds: Annotated[str, typer.Option(metavar="N,N,...", help="Or one for each picture.", show_default=False)] = "",
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps.", show_default="the model's own")] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Classifier-free guidance scale.", show_default="the model's own")
    ] = None,
    size: Annotated[int | None, typer.Option(min=1, help="Pixels per side.", show_default="the model's own")] = None,
    model: Annotated[str, typer.Option(help="A name from `tranh models`, or an exported folder.")] = "tranh-1",
    format: Annotated[Format | None, typer.Option(help="Kind of file.", show_default="by its name")] = None,
    negative: Annotated[str, typer.Option(help="What the picture should not show.", show_default=False)] = "",
    region: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BOX:PROMPT", help="What a part shows: left,top,right,bottom from 0 to 1.", show_default=False
        ),
    ] = None,
    guidance_interval: Annotated[
        str, typer.Option(metavar="LOW,HIGH", help="Guide at these times only (1: noise).", show_default="0,1")
    ] = "",
    prior: Annotated[
        Prior | None,
        typer.Option(help="Which prior of the hierarchy; none: the caption alone.", show_default="the model's own"),
    ] = None,
    candidates: Annotated[
        int, typer.Option(min=1, max=1000, help="Drawn for each picture; CLIP keeps the one nearest to the prompt.")
    ] = 1,
    ranker: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Whose CLIP chooses among candidates.", show_default="the model's own"),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Of drawing codes (dalle); 0: the likeliest.", show_default="the model's own")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(help="Draw of the likeliest codes only; 0: of all.", show_default="the model's own")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Draw of those that hold this share.", show_default="the model's own")
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(help="Of diffusion by DDPM: ddpm, ddim, euler, heun, dpm++.", show_default="the model's own"),
    ] = None,
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="Draw a prompt with words the model was never taught.")
    ] = False,
    expand: Annotated[
        bool, typer.Option("--expand", help="Say first what the prompt leaves open; the longer prompt is printed.")
    ] = False,
    expander: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="An exported `tranh train expander`.", show_default="a shipped one"),
    ] = None,
    subjects: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where `tranh personalise` kept <names>.", show_default="your own"),
    ] = None,
    refuse_copies: Annotated[
        bool, typer.Option("--refuse-copies", help="Write no near copy of a training picture; exit code 1 if one was.")
    ] = False,
    private: Annotated[
        bool, typer.Option("--private", help="Leave the prompt out of the file; the marks stay.")
    ] = False,
    no_watermark: Annotated[
        bool, typer.Option("--no-watermark", help="The model's own pixels: no invisible mark; the others stay.")
    ] = False,
) -> None:
    """Make pictures of a prompt, in English or Vietnamese, with or without diacritics.

    The same seed gives the same picture. Its settings are kept inside the file, signed, and an invisible mark is in its
    pixels (`tranh provenance FILE` tells them). The paths of the files are printed.

    \b
    tranh generate "three green stars in the snow" --seed 4
    tranh generate "một con mèo buồn trong rừng" -o meo.png
    tranh "a red car left of a yellow house" --count 4 -o cars.webp
    tranh "a small blue cat" --candidates 8
    tranh "a sleepy cat" --expander my-expander --count 4
    tranh "a (large:1.5) red circle" --seeds 3,7,9
    tranh "in a meadow" --region "0,0,0.5,1: a red circle" --region "0.5,0,1,1: a blue star"
    """
    if len(prompt) > 1 and any(" " in word for word in prompt):
        ctx.fail(f"{len(prompt)} prompts were given; one is drawn at a time: put all of it into one pair of quotes")
    from tranh.recipes.models import load
    from tranh.recipes.shelf import names_one
    from tranh.types import Request, TranhError

    each = _numbers(seeds, int, "--seeds", "3,7,9")
    if each and (count != 1 or seed):
        ctx.fail("--seeds says by itself how many pictures are drawn: leave --seed and --count out")
    if len(set(each)) < len(each):
        ctx.fail(f"--seeds {seeds} names a seed twice, which would be the same picture")
    interval = _numbers(guidance_interval, float, "--guidance-interval", "0.2,0.9")
    if len(interval) not in (0, 2):
        ctx.fail(f"--guidance-interval {guidance_interval}: two times are needed, such as 0.2,0.9")
    drawn = list(each) or list(range(seed, seed + count))
    paths = targets(ctx, output, format, drawn)
    request = Request(
        " ".join(prompt), negative_prompt=negative, count=count, seed=seed, steps=steps, guidance=guidance, size=size,
        prior=prior and prior.value, allow_unknown=allow_unknown, refuse_copies=refuse_copies, candidates=candidates,
        expand=expand or expander is not None, sampler=sampler, temperature=temperature, top_k=top_k, top_p=top_p,
        seeds=each, regions=tuple(_region(one) for one in region or ()),
        guidance_interval=(interval[0], interval[1]) if interval else None,
    )  # fmt: skip
    system = drawing(model)
    if names_one(request, subjects):
        from tranh.recipes.subjects import wearing

        system = wearing(system, request, subjects)
    if ranker is not None:
        from tranh.recipes import caption_judge

        system.ranker = caption_judge.load(ranker)
    if expander is not None:
        system.expander = load(expander)
    pictures = last(system.generate_events(request))
    noted(pictures)
    path_of = dict(zip(drawn, paths, strict=True))
    for image, settings in zip(pictures.images, pictures.settings, strict=True):
        if request.expand:
            typer.echo(f"expanded: {settings['expanded']}", err=True)
        path = path_of[settings["seed"]]
        typer.echo(put(image, path, settings, private=private, watermark=not no_watermark))
    if refuse_copies and pictures.refused:
        raise TranhError("\n".join(pictures.refused))


def _numbers(text: str, kind: type[Number], option: str, example: str) -> tuple[Number, ...]:
    """Numbers with commas between."""
    from tranh.types import TranhError

    try:
        return tuple(kind(one) for one in text.split(",")) if text else ()
    except ValueError as error:
        raise TranhError(f"{option} is {text!r}; it is numbers with commas between, such as {example}") from error


def _region(text: str) -> Region:
    """``left,top,right,bottom: prompt``."""
    from tranh.types import Region, TranhError

    box, _, prompt = text.partition(":")
    edges = _numbers(box, float, "the box of a --region", "0,0,0.5,1")
    if len(edges) != 4 or not prompt.strip():
        raise TranhError(
            f'--region {text!r}: give left,top,right,bottom from 0 to 1, a colon and a prompt, such as "0,0,0.5,1: a '
            'red circle"'
        )
    return Region(prompt.strip(), *edges)


def targets(ctx: typer.Context, output: Path | None, format: Format | None, seeds: Iterable[int]) -> list[Path]:
    """Where the pictures go: the file named, or one per seed beside it."""
    from tranh.engine.picture import SUFFIXES, check_target

    if output is None:
        output = Path(f"out.{format.value if format else 'png'}")
    elif format and not output.suffix and not output.is_dir():
        output = output.with_suffix(f".{format.value}")
    kind = check_target(output)
    if format and kind != SUFFIXES[f".{format.value}"]:
        ctx.fail(f"{output} names another kind of file than --format {format.value}: leave one of them out")
    seeds = list(seeds)
    return [output] if len(seeds) == 1 else [output.with_stem(f"{output.stem}-{seed}") for seed in seeds]


def noted(made: Any) -> None:
    """Say what the user should know of pictures."""
    for notice in made.notices:
        typer.echo(f"note: {notice}", err=True)


def filmed(made: Any, path: Path, fps: float, loop: bool = True, opened: Sequence[Path] = ()) -> None:
    """Say what the user should know of frames, write them as one signed animation, and print where."""
    from datetime import UTC, datetime
    from tempfile import TemporaryDirectory

    from tranh.engine.animated import check_animation, write
    from tranh.files import write_bytes
    from tranh.recipes.marks import keys
    from tranh.recipes.marks.credentials import signed
    from tranh.recipes.marks.put import without_words

    noted(made)
    settings, files = made.settings[0], [file.read_bytes() for file in opened]
    if _private():
        settings = without_words(settings)
    check_animation(path)
    with TemporaryDirectory() as place:  # what is not signed yet is not there yet
        film = last(write(made.images, Path(place) / path.name, settings, fps=fps, loop=loop)).read_bytes()
    model, kind = str(settings.get("model") or "Tranh"), path.suffix[1:].upper()
    write_bytes(path, signed(film, kind, keys(), model=model, created=datetime.now(UTC), opened=files))
    typer.echo(path)


def written(made: Any, paths: Iterable[Path], opened: Sequence[Path] = (), mask: Image | None = None) -> None:
    """Say what the user should know of pictures, write each with its marks, and print where; see :func:`put`."""
    noted(made)
    for image, settings, path in zip(made.images, made.settings, paths, strict=True):
        typer.echo(put(image, path, settings, opened, mask))


def put(
    image: Image,
    path: Path,
    settings: dict[str, Any],
    opened: Sequence[Path] = (),
    mask: Image | None = None,
    *,
    private: bool = False,
    watermark: bool = True,
) -> Path:
    """Write a picture with its settings and the marks of its origin; returns where.

    ``TRANH_PRIVATE=1`` leaves the prompt out, ``TRANH_WATERMARK=0`` the invisible mark, as the arguments do.

    Args:
        opened: files it was made from, the one that was edited first.
        mask: black where the edited picture shows through and no pixel may change.
    """
    from tranh.engine.picture import check_target
    from tranh.files import write_bytes
    from tranh.recipes.marks import keys, marked

    private = private or _private()
    watermark = watermark and os.environ.get("TRANH_WATERMARK", "1") != "0"
    files = [file.read_bytes() for file in opened]
    kind = check_target(path)
    data = marked(image, settings, keys(), kind=kind, opened=files, mask=mask, private=private, watermark=watermark)
    write_bytes(path, data)
    return path


def _private() -> bool:
    return os.environ.get("TRANH_PRIVATE", "0") != "0"


@app.command()
def models() -> None:
    """List the models that are there, with their folders."""
    from tranh.recipes import models as found

    known = found.available()
    if not known:
        typer.echo("no model is here yet: train one (tranh train quick), then tranh export RUN DIR", err=True)
    width = max((len(model.name) for model in known), default=0)
    for model in known:
        typer.echo(f"{model.name:{width}}  {model.path}  {model.card.get('summary', '')}".rstrip())
