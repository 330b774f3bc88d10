"""The command itself: which word is a verb, how faults are told, how long work is shown.

The verbs are beside this file. Nothing heavy is imported before a verb needs it, so that help and typing errors answer
at once.
"""

from __future__ import annotations

import errno
import os
import shlex
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from tranh import __version__

if TYPE_CHECKING:
    from tranh.types import Event

NEAR = 0.75
"""How alike (0 to 1) a lone word and a verb are when the word is taken for a slip and not for a prompt."""


NO_SLIP = frozenset({"plain", "sea", "see", "for", "objects"})
"""Words a picture is asked for by that look like a verb (a test compares them with every word of the world)."""

GIVEN = "tranh.given"

RESUMED = ("train", "evaluate", "compare", "rate", "personalise", "serve")
"""Verbs whose same command goes on where it was stopped."""


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
        if word.lower() in NO_SLIP:
            return
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
        if ctx.invoked_subcommand in RESUMED or ctx.meta[GIVEN][:2] == ["data", "prepare"]:
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
edit = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make new pictures from a picture.")
app.add_typer(edit, name="edit")


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


def drawing(name: str) -> Any:
    """A model that makes pictures, on a machine that can sign them: what cannot is told before they are drawn."""
    from tranh.recipes import models
    from tranh.recipes.marks.keyring import keys
    from tranh.types import TranhError, capabilities

    keys()
    model = models.load(name)
    if "generates" not in (able := capabilities(model)):
        raise TranhError(
            f"{name} makes no pictures (it {', '.join(able) or 'does nothing'}): name another model, see `tranh models`"
        )
    return model


def last(events: Iterable[Event]) -> Any:
    """Show long work on standard error; the result of its last event."""
    from tranh.engine.progress import show

    result = None
    for event in show(events):
        result = event.result
    return result


def words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
