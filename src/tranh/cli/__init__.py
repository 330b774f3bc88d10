"""The command ``tranh``: verbs that parse, call and print. What they do is written elsewhere."""

from __future__ import annotations

# In the order in which help lists them.
from tranh.cli import (  # isort: skip  # noqa: F401
    draw,
    train,
    judge,
    compare,
    rebuild,
    search,
    attention,
    chain,
    rate,
    stress,
    edit,
    complete,
    inpaint,
    instruct,
    upscale,
    animate,
    moving,
    toolbox,
    personalise,
    data,
)
from tranh.cli.base import app


def main() -> None:
    """The entry point of the command."""
    app(prog_name="tranh")
