"""The command ``tranh``: verbs that parse, call and print. What they do is written elsewhere.

It imports nothing heavy before a verb needs it, so that help and typing errors answer at once.
"""

from __future__ import annotations

import errno
import os
import shlex
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from tranh import __version__

if TYPE_CHECKING:
    from tranh.types import Event

NEAR = 0.75
"""How alike (0 to 1) a lone word and a verb are when the word is taken for a slip and not for a prompt."""

SEED_LIMIT = 2**53 - 1
"""The largest whole number that JSON keeps exactly everywhere."""

GIVEN = "tranh.given"


class Verbs(TyperGroup):
    """The rule of the first word: a verb is the verb, a lone word close to one is a slip, all else is a prompt."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[GIVEN] = list(args)
        own = {name for param in self.get_params(ctx) for name in param.opts}
        if args and args[0] not in self.commands and args[0] not in own:
            self._refuse_slip(ctx, args)
            args = ["generate", *args]
        return super().parse_args(ctx, args)

    def _refuse_slip(self, ctx: Any, args: list[str]) -> None:
        words = self._words(args)
        if words is None or len(words) != 1:
            return
        word = words[0]
        if word in self.commands:
            ctx.fail(f"{word!r} is a verb and comes first: tranh {word} ...\nTo draw it, write: tranh -- {word}")
        meant = {**{verb: verb for verb in self.commands}, "help": "--help", "version": "--version"}
        begun = [verb for verb in meant if len(word) >= 3 and verb.startswith(word.lower())]
        near = begun or get_close_matches(word.lower(), meant, n=1, cutoff=NEAR)
        if near:
            ctx.fail(f"there is no verb {word!r}; did you mean: tranh {meant[near[0]]}\nTo draw it: tranh -- {word}")

    def _words(self, args: list[str]) -> list[str] | None:
        """The arguments that are no options of ``generate``, or None where ``--`` says that they are a prompt."""
        options = [param for param in self.commands["generate"].params if param.param_type_name == "option"]
        valued = {name for option in options if not getattr(option, "is_flag", False) for name in option.opts}
        words, rest = [], iter(args)
        for arg in rest:
            if arg == "--":
                return None
            if arg in valued:
                next(rest, None)
            elif not arg.startswith("-") or arg == "-":
                words.append(arg)
        return words

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; what the user can mend is said in words, without a traceback (``TRANH_DEBUG=1`` shows it)."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, Exception) as error:
            message = _told(error, ctx)
            if message is None or os.environ.get("TRANH_DEBUG"):
                raise
            typer.echo(message, err=True)
            raise typer.Exit(130 if isinstance(error, KeyboardInterrupt) else 1) from None


def _told(error: BaseException, ctx: Any) -> str | None:
    """What to say of an error, or None for one that is a fault of ours and deserves its traceback."""
    if isinstance(error, KeyboardInterrupt):
        again = shlex.join(["tranh", *ctx.meta[GIVEN]])
        if ctx.invoked_subcommand in ("train", "evaluate"):
            return f"\nstopped; what was done is kept. The same command goes on from there:\n  {again}"
        return f"\nstopped; begin again with:\n  {again}"
    types = sys.modules.get("tranh.types")  # not imported: then the error cannot be one of its own
    if types is not None and isinstance(error, types.TranhError):
        return str(error)
    if isinstance(error, OSError) and error.strerror and error.errno != errno.EPIPE:
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    return None


app = typer.Typer(
    cls=Verbs, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
data = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look at the data that models are trained on.")
app.add_typer(data, name="data")


class Format(str, Enum):
    png = "png"
    webp = "webp"
    jpeg = "jpeg"


class Prior(str, Enum):
    diffusion = "diffusion"
    autoregressive = "autoregressive"
    none = "none"


class Target(str, Enum):
    tranh = "tranh"
    diffusers = "diffusers"
    transformers = "transformers"


class Dtype(str, Enum):
    bf16 = "bf16"
    fp16 = "fp16"
    fp32 = "fp32"
    int8 = "int8"


class Language(str, Enum):
    en = "en"
    vi = "vi"
    both = "both"


def main() -> None:
    """The entry point of the command."""
    app(prog_name="tranh")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tranh {__version__}")
        raise typer.Exit


@app.callback()
def tranh(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A sentence in, a picture out. Một câu vào, một bức tranh ra.

    \b
    tranh "a large red circle above a small blue square" -o out.png
    tranh "một hình tròn đỏ lớn ở trên một hình vuông xanh dương nhỏ" -o tranh.png

    A first word that is a command is the command; anything else is a prompt, short for `tranh generate`.
    `--` makes a prompt of any word: tranh -- train
    """


@app.command()
def generate(
    ctx: typer.Context,
    prompt: Annotated[list[str], typer.Argument(metavar="PROMPT", help="What the picture shows.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write.", show_default="out.png")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many pictures; each is named by its seed.")] = 1,
    seed: Annotated[int, typer.Option(min=0, max=SEED_LIMIT, help="Of the first picture; the next has seed + 1.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Denoising steps.", show_default="the model's own")] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Classifier-free guidance scale.", show_default="the model's own")
    ] = None,
    size: Annotated[int | None, typer.Option(min=1, help="Pixels per side.", show_default="the model's own")] = None,
    model: Annotated[str, typer.Option(help="A name from `tranh models`, or an exported folder.")] = "tranh-1",
    format: Annotated[Format | None, typer.Option(help="Kind of file.", show_default="by its name")] = None,
    negative: Annotated[str, typer.Option(help="What the picture should not show.", show_default=False)] = "",
    prior: Annotated[
        Prior | None,
        typer.Option(help="Which prior of the hierarchy; none: the caption alone.", show_default="the model's own"),
    ] = None,
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="Draw a prompt with words the model was never taught.")
    ] = False,
) -> None:
    """Make pictures of a prompt, in English or Vietnamese, with or without diacritics.

    The same seed gives the same picture. Its settings are kept inside the file. The paths of the files are printed.

    \b
    tranh generate "three green stars in the snow" --seed 4
    tranh generate "một con mèo buồn trong rừng" -o meo.png
    tranh "a red car left of a yellow house" --count 4 -o cars.webp
    """
    if len(prompt) > 1 and any(" " in word for word in prompt):
        ctx.fail(f"{len(prompt)} prompts were given; one is drawn at a time: put all of it into one pair of quotes")
    from tranh.engine.picture import save_picture
    from tranh.types import Request

    paths = _targets(ctx, output, format, [seed] if count == 1 else range(seed, seed + count))
    tolerance: dict[str, Any] = {"allow_unknown": True} if allow_unknown else {}
    request = Request(
        " ".join(prompt), negative_prompt=negative, count=count, seed=seed, steps=steps, guidance=guidance, size=size,
        prior=prior and prior.value, **tolerance,
    )  # fmt: skip
    pictures = _last(_drawing(model).generate_events(request))
    for notice in pictures.notices:
        typer.echo(f"note: {notice}", err=True)
    for image, settings, path in zip(pictures.images, pictures.settings, paths, strict=True):
        typer.echo(save_picture(image, path, settings))


def _targets(ctx: typer.Context, output: Path | None, format: Format | None, seeds: Iterable[int]) -> list[Path]:
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


def _drawing(name: str) -> Any:
    """A model that makes pictures."""
    from tranh.recipes import models
    from tranh.types import TranhError, capabilities

    model = models.load(name)
    if "generates" not in (able := capabilities(model)):
        raise TranhError(
            f"{name} makes no pictures (it {', '.join(able) or 'does nothing'}): name another model, see `tranh models`"
        )
    return model


def _last(events: Iterable[Event]) -> Any:
    """Show long work on standard error; the result of its last event."""
    from tranh.engine.progress import show

    result = None
    for event in show(events):
        result = event.result
    return result


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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be trained, and stop.")] = False,
    only: Annotated[str | None, typer.Option(metavar="STAGE", help="Train this stage alone.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Start although the doctor names a sure fault.")] = False,
) -> None:
    """Train a recipe, all its stages in order. The same command goes on where it was stopped.

    \b
    tranh train quick --run runs/quick
    tranh train unclip decoder.batch=32 --minutes 600
    tranh train unclip --only prior --run runs/unclip
    tranh train quick --dry-run
    """
    from tranh.engine.progress import show
    from tranh.recipes import run as recipes

    chosen = recipes.override(recipes.find(recipe), settings or [])
    if dry_run:
        typer.echo(recipes.plan(chosen))
        return
    root = run or Path("runs") / chosen.name
    for event in show(recipes.train(chosen, root, minutes=minutes, only=only, force=force)):
        if event.result is not None and not event.result.finished:
            raise KeyboardInterrupt  # the engine has saved; it was asked to stop
    typer.echo(root)


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
        _drawing(model), models.verifier(), folder, count=count, levels=_list(levels), languages=_list(languages),
        splits=_list(splits), size=size, steps=steps, guidance=guidance, prior=prior and prior.value,
    )  # fmt: skip
    _last(events)
    typer.echo((folder / "report.md").read_text("utf-8"))
    typer.echo(folder / "report.html")


def _list(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


@app.command()
def doctor(run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, finished or not.")]) -> None:
    """Look for faults in a training run, all its stages or one, and say the remedy. Exit code 1 if there is a fault.

    \b
    tranh doctor runs/quick
    tranh doctor runs/quick/decoder
    """
    from tranh.recipes import doctor as surgery

    diagnosis = _last(surgery.examine(run))
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
) -> None:
    """Write a trained recipe as one self-contained folder, which `--model DIR` and `tranh.load(DIR)` open.

    With `--to diffusers` the decoder is written for stock diffusers, with `--to transformers` CLIP for CLIPModel; both
    take a run or the name of a model.

    \b
    tranh export runs/quick my-model --dtype int8 --card card.json
    tranh "một ngôi sao vàng" --model my-model
    tranh export my-model my-decoder --to diffusers
    """
    from tranh.files import read_json
    from tranh.recipes import run as recipes
    from tranh.types import TranhError

    if to is Target.tranh:
        told = read_json(card) if card is not None else {}
        typer.echo(recipes.export(Path(run), folder, dtype.value, told))
        return
    from tranh.recipes.elsewhere import export_to

    if card is not None:
        raise TranhError(f"a card belongs to a model of this project; `--to {to.value}` writes none: leave --card out")
    typer.echo(export_to(to.value, run, folder))


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
