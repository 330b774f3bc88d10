"""The command ``tranh``: verbs that parse, call and print. What they do is written elsewhere."""

from __future__ import annotations

from tranh.cli import draw, train, judge, compare, rate, data  # isort: skip  # noqa: F401  # in the order in which help lists them
from tranh.cli.base import app


def main() -> None:
    """The entry point of the command."""
    app(prog_name="tranh")
