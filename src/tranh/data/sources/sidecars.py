"""Pictures with a text file of the same name beside each: ``cat.jpg`` and ``cat.txt``, ``cat.en.txt``, ``cat.vi.txt``.

Every line of a text file is a caption.
"""

from __future__ import annotations

from functools import partial

from tranh.data.item import Caption, Item, split_of
from tranh.data.look import MOST_LOOKED_AT, Look
from tranh.data.place import Place, Strings

ENOUGH = 0.5
"""Share of the pictures that must have a text beside them for the folder to be of this kind."""
LANGUAGES = ("", "en", "vi")


def found(look: Look) -> str | None:
    """Why this is such a folder, or None."""
    if look.place is None:
        return None
    step = max(1, len(look.pictures) // MOST_LOOKED_AT)
    seen = look.pictures[::step]
    told = sum(any(look.place.has(text) for text, _ in _texts(name)) for name in seen)
    return f"{told} of {len(seen)} pictures have a .txt beside them" if told > ENOUGH * len(seen) else None


def read(look: Look) -> Sidecars:
    """All pictures under the folder, by name."""
    return Sidecars(look.files(), look.pictures)


class Sidecars:
    """Pictures in the order of their paths."""

    def __init__(self, place: Place, keys: Strings) -> None:
        self.place, self.keys = place, keys

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Item:
        key = self.keys[index]
        captions: list[Caption] = []
        broken = ""
        for name, language in _texts(key):
            if not self.place.has(name):
                continue
            raw = self.place.read(name)
            try:
                text = raw.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                text, broken = raw.decode("utf-8-sig", errors="replace"), f"{name} is not UTF-8: {error}"
            lines = [line for line in text.splitlines() if line.strip()] or [""]
            captions += [Caption(line, language) for line in lines]
        split = split_of(key.split("/")[:-1])
        return Item(key, partial(self.place.read, key), tuple(captions), split, None, broken)


def _texts(picture: str) -> list[tuple[str, str]]:
    """Names that the texts of a picture may have, and the language each says."""
    stem = picture.rpartition(".")[0]
    return [(f"{stem}.{code}.txt" if code else f"{stem}.txt", code) for code in LANGUAGES]
