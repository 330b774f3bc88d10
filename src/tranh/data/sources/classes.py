"""A folder of pictures per class, as ImageNet has them; the name of the class is the caption.

Names that are WordNet synsets (``n02084071``) are looked up in a file beside them: ``synset_words.txt``, ``words.txt``,
``LOC_synset_mapping.txt`` or ``imagenet_class_index.json``.
"""

from __future__ import annotations

import json
import re
from functools import partial

from tranh.data.item import SPLITS, Caption, Item, split_of
from tranh.data.look import Look
from tranh.data.place import Place, Strings
from tranh.types import TranhError

MAPPINGS = ("synset_words.txt", "words.txt", "LOC_synset_mapping.txt", "imagenet_class_index.json")
SYNSET = re.compile(r"n\d{8}")


def found(look: Look) -> str | None:
    """Why this is such a folder, or None."""
    names = sorted({label for key in look.pictures if (label := class_of(key))})
    more = ", ..." if len(names) > 4 else ""
    return f"pictures in {len(names)} folders: {', '.join(names[:4])}{more}" if len(names) > 1 else None


def read(look: Look) -> Classes:
    """All pictures that lie in a class's folder."""
    return Classes(look.files(), Strings(key for key in look.pictures if class_of(key)))


def class_of(key: str) -> str:
    """The folder a picture lies in, empty if that is the top or a split's."""
    folder = key.rpartition("/")[0].rpartition("/")[2]
    return "" if folder.lower() in SPLITS else folder


class Classes:
    """Pictures in the order of their paths."""

    def __init__(self, place: Place, keys: Strings) -> None:
        self.place, self.keys, self.names = place, keys, mapping(place)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Item:
        key = self.keys[index]
        label = class_of(key)
        known = not SYNSET.fullmatch(label) or label in self.names
        captions = tuple(Caption(name) for name in self.names.get(label, [_said(label)] if known else []))
        broken = "" if known else f"no mapping file says what {label} is: put one of {', '.join(MAPPINGS)} beside it"
        return Item(key, partial(self.place.read, key), captions, split_of(key.split("/")[:-2]), label, broken)


def mapping(place: Place) -> dict[str, list[str]]:
    """Synset -> its names, from the first mapping file in the place or up to two folders above it; else empty."""
    for name in MAPPINGS:
        if place.has(name):
            return _mapping(name, place.read(name))
    for folder in list(place.path.absolute().parents)[:2]:
        for name in MAPPINGS:
            if (folder / name).is_file():
                return _mapping(name, (folder / name).read_bytes())
    return {}


def _mapping(name: str, data: bytes) -> dict[str, list[str]]:
    text = data.decode("utf-8-sig", errors="replace")
    if name.endswith(".json"):
        try:
            return {str(synset): [_said(str(said))] for synset, said in json.loads(text).values()}
        except (ValueError, TypeError, AttributeError) as error:
            raise TranhError(f'{name} is no class index ({{"0": ["n01440764", "tench"], ...}}): {error}') from error
    out = {}
    for line in text.splitlines():
        synset, _, names = line.partition("\t" if "\t" in line else " ")
        if SYNSET.fullmatch(synset):
            out[synset] = [said.strip() for said in names.split(",") if said.strip()]
    return out


def _said(label: str) -> str:
    """A folder's name as words; CUB's ``001.Black_footed_Albatross`` loses its number."""
    return re.sub(r"^\d+[._-]", "", label).replace("_", " ").replace("-", " ").strip()
