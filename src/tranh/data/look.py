"""A path that is being looked at: what was typed, and the files that lie there. It says nothing of what they are."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from tranh.data.item import is_picture
from tranh.data.place import Place, Strings, place_of
from tranh.types import TranhError

MOST_LOOKED_AT = 2000
"""Pictures that are looked at to tell what a folder is."""


class Look:
    """Given to every source in turn; the files are listed once.

    Attributes:
        text: what was typed, such as a path, a list in braces, or the id of a data set.
    """

    def __init__(self, text: str | Path) -> None:
        self.text, self.path = str(text), Path(text)

    @cached_property
    def place(self) -> Place | None:
        """The files of a folder, a zip or a tar; None where there is none."""
        return place_of(self.path)

    @cached_property
    def pictures(self) -> Strings:
        """Names of all files that look like pictures."""
        return self.place.names(is_picture) if self.place else Strings()

    def files(self) -> Place:
        """The place, where there must be one."""
        if self.place is None:
            raise TranhError(f"{self.text} is no folder, no .zip and no .tar")
        return self.place
