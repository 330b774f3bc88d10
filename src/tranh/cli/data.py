"""Verbs of data, behind the word ``data``: ``inspect``, ``prepare``, ``doctor``, ``preview``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tranh.cli.base import data, last, words
from tranh.cli.options import Language, Shape

Source = Annotated[
    str,
    typer.Argument(
        metavar="PATH",
        help="A folder, a .zip or .tar of one, .tar shards, a .parquet, a COCO .json, `digits`, or a hub id.",
    ),
]
Kind = Annotated[
    str | None,
    typer.Option(help="Read it as: folder, sidecars, classes, shards, coco, cub, genome, idx, parquet, hub."),
]
EVERY = 1000  # pictures between two lines of progress where there is no terminal


@data.command()
def inspect(
    path: Source,
    kind: Kind = None,
    sample: Annotated[int, typer.Option(min=1, max=100_000, help="How many pictures are opened.")] = 200,
) -> None:
    """Say what a path holds: what it was seen to be, splits, languages, captions, sizes, and what to do next.

    \b
    tranh data inspect pictures
    tranh data inspect "cc12m-{00000..01242}.tar"
    tranh data inspect digits --sample 50
    """
    from tranh.data.detect import detect
    from tranh.data.overview import look_at

    for line in look_at(detect(path, kind), sample).lines():
        typer.echo(_printable(line))


@data.command()
def prepare(
    path: Source,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder for the shards, or one begun before.")],
    kind: Kind = None,
    size: Annotated[int, typer.Option(help="Pixels per side.")] = 256,
    shape: Annotated[Shape, typer.Option(help="Cut the middle out, or keep all and fill up.")] = Shape.crop,
    least: Annotated[int, typer.Option(help="Leave out pictures with a shorter side of fewer pixels.")] = 32,
    blurred: Annotated[
        float, typer.Option(help="Leave out pictures less sharp than this; 20 is soft, 0 keeps all.")
    ] = 0,
    enhance: Annotated[str, typer.Option(help="Of denoise, white_balance, contrast; commas between.")] = "",
    clean: Annotated[
        str | None,
        typer.Option(
            help="Steps for captions, commas between, of entities, markup, controls, nfc, addresses, repeats, spaces "
            "(these by default), tone_marks, small, spelling, tokens, stop_words; none for none."
        ),
    ] = None,
    near: Annotated[bool, typer.Option(help="Leave out nearly equal pictures too, not only equal ones.")] = True,
    broken: Annotated[float, typer.Option(help="Share of broken pictures above which it stops.")] = 0.2,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; all cores if not given.")] = None,
    ray: Annotated[bool, typer.Option("--ray", help="Prepare on Ray: a cluster if RAY_ADDRESS names one.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Show captions before and after each step.")] = False,
) -> None:
    """Make captioned pictures ready for training: square, cleaned, without doubles, as tar shards with a manifest.

    What is left out is listed in OUT/left_out.jsonl with its reason. Stopped or killed, the same command goes on.

    \b
    tranh data prepare pictures prepared
    tranh data prepare "cc12m-{00000..01242}.tar" prepared --size 128 --shape letterbox
    tranh data prepare digits prepared --size 32 --least 8
    tranh data prepare photos.zip prepared --enhance denoise,contrast --clean nfc,spaces,spelling --report
    """
    from tranh.data.cluster import on_ray
    from tranh.data.prepare import prepare as preparing
    from tranh.data.ready import Options
    from tranh.engine.progress import show

    steps = Options.clean if clean is None else () if clean == "none" else words(clean)
    options = Options(
        size=size, shape=shape.value, least=least, blurred_below=blurred, enhance=words(enhance), clean=steps,
        near=near, broken=broken,
    )  # fmt: skip
    mapper = on_ray(workers) if ray else None
    manifest: Mapping[str, Any] = {}
    for event in show(preparing(path, out, options, kind=kind, workers=workers, mapper=mapper), every=EVERY):
        manifest = event.result or manifest
    for line in _summary(manifest, out, report):
        typer.echo(_printable(line))


def _summary(manifest: Mapping[str, Any], out: Path, report: bool) -> Iterator[str]:
    """What became of the pictures and captions, for people to read."""
    captions = manifest["captions"]
    yield f"kept        {manifest['kept']} of {manifest['seen']} pictures ({_counts(manifest['splits'])})"
    if manifest["left"]:
        yield f"left out    {_counts(manifest['left'])}; see {out / 'left_out.jsonl'}"
    if manifest["changed"]:
        yield f"changed     {_counts(manifest['changed'])}"
    if manifest["odd"]:
        yield f"odd         {_counts(manifest['odd'])}"
    changed = _counts(captions["changed"]) or "no step"
    dropped = f"; {captions['dropped']} empty or said twice" if captions["dropped"] else ""
    yield f"captions    {captions['seen']}; changed by {changed}{dropped}"
    for step, pairs in captions["examples"].items() if report else ():
        for before, after in pairs:
            yield f"  {step:10}{before!r}\n  {'':10}{after!r}"
    for slip, word in captions["repairs"].items() if report else ():
        yield f"  repaired  {slip} -> {word}"
    shards = manifest["shards"]
    yield f"written     {out} ({len(shards)} shard{'s' if len(shards) != 1 else ''}, hash {manifest['hash'][:12]})"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _printable(text: str) -> str:
    """No control characters, which a terminal would obey, and no halves of letters, which it cannot show."""
    shown = "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)
    return shown.encode("utf-8", "replace").decode()


@data.command()
def doctor(
    path: Source,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The report; findings.json is written beside it.")] = Path(
        "report.html"
    ),
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Whose tokenizer counts tokens.", show_default="tranh-1")
    ] = None,
    clip: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Look for captions that do not fit, with this model's CLIP.")
    ] = None,
    kind: Kind = None,
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

    examined = last(examine(path, out, model=model, clip=clip, kind=kind, limit=limit))
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


@data.command()
def preview(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="scenes, or a path of captioned pictures.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The sheet to write.")] = Path("sheet.png"),
    level: Annotated[str, typer.Option(help="Of Scenes, how much a picture shows: one, two or full.")] = "two",
    split: Annotated[str, typer.Option(help="Of Scenes: train, validation, test or unseen.")] = "train",
    count: Annotated[int, typer.Option(min=1, max=400, help="How many pictures.")] = 24,
    size: Annotated[int, typer.Option(min=16, max=512, help="Pixels per side of each.")] = 128,
    language: Annotated[Language, typer.Option(help="Of the captions.")] = Language.both,
    what: Annotated[
        str, typer.Option(help="Of Scenes: pictures, or what it gives besides: pairs, frames, depth, emblems.")
    ] = "pictures",
) -> None:
    """Draw a sheet of training pictures with their captions.

    \b
    tranh data preview scenes --level two -o sheet.png
    tranh data preview scenes --what pairs --count 21
    tranh data preview scenes --level full --split unseen --language vi --count 12
    tranh data preview my-pictures --language vi
    """
    from tranh.engine.picture import check_target, save_picture
    from tranh.recipes.preview import preview as draw

    check_target(output)
    sheet = draw(source, level=level, split=split, count=count, size=size, language=language.value, what=what)
    asked = {"source": source, "level": level, "split": split, "count": count, "size": size, "language": language.value}
    asked["what"] = what
    typer.echo(save_picture(sheet, output, asked))


@data.command()
def recaption(
    path: Source,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new image folder, or one begun before.")],
    captioner: Annotated[
        str, typer.Option(metavar="NAME", help="verifier (pictures of Scenes), or module:function of your own.")
    ],
    originals: Annotated[bool, typer.Option(help="Keep the captions that were there beside the new ones.")] = True,
    kind: Kind = None,
) -> None:
    """Write dense captions for pictures that have only short ones, into an image folder to train on.

    Your own captioner is a function that takes a list of PIL pictures and gives for each a caption, or {language:
    captions}. Stopped, the same command goes on.

    \b
    tranh data recaption my-pictures dense --captioner my_captions:describe
    tranh data recaption scenes-pictures dense --captioner verifier
    tranh train unclip data=dense
    """
    from tranh.recipes import recaption as writing

    found = last(
        writing.recaption(path, out, writing.captioner(captioner), name=captioner, kind=kind, originals=originals)
    )
    typer.echo(f"{found['kept']} pictures captioned, {found['left']} left out: {out}")


@data.command()
def statistics(
    source: Source,
    network: Annotated[
        str, typer.Option(metavar="FILE", help="Converted Inception, or the project's own network.")
    ] = "verifier-1",
    size: Annotated[int, typer.Option(min=8, help="Pixels per side that generated pictures will have.")] = 64,
) -> None:
    """Compute what the training pictures look like to a feature network, once: the reference of FD, KD and their kin.

    `tranh evaluate --data` does it by itself where it has not been done. Kept in the cache.

    \b
    tranh data statistics my-pictures
    tranh data statistics my-pictures --network inception.safetensors --size 256
    """
    from tranh.recipes import networks, own

    last(own.prepare({"source": source}))
    kept = own.statistics(own.untold({"source": source}, size), networks.network(network))
    typer.echo(f"{kept.count} training pictures in the features of {kept.network} ({kept.network_hash}), {size} px")
