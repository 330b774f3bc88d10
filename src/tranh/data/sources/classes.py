"""A folder of pictures per class, as ImageNet has them; the name of the class is the caption.

Names that are WordNet synsets (``n02084071``) are looked up in a file beside them: ``synset_words.txt``, ``words.txt``,
``LOC_synset_mapping.txt`` or ``imagenet_class_index.json``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from tranh.data.item import SPLITS, Caption, Item, is_picture, split_of

MAPPINGS = ("synset_words.txt", "words.txt", "LOC_synset_mapping.txt", "imagenet_class_index.json")
SYNSET = re.compile(r"n\d{8}")


def found(path: Path) -> str | None:
    """Why this is such a folder, or None."""
    names = sorted({label for label, _ in _pictures(path)}) if path.is_dir() else []
    return f"pictures in {len(names)} folders: {', '.join(names[:4])}, ..." if len(names) > 1 else None


def read(path: Path) -> Classes:
    """All pictures that lie in a class's folder."""
    return Classes(path)


class Classes:
    """Pictures in the order of their paths."""

    def __init__(self, path: Path) -> None:
        self.path, self.pictures, self.names = path, _pictures(path), mapping(path)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Item:
        label, key = self.pictures[index]
        known = not SYNSET.fullmatch(label) or label in self.names
        captions = tuple(Caption(name) for name in self.names.get(label, [_said(label)] if known else []))
        broken = "" if known else f"no mapping file says what {label} is: put one of {', '.join(MAPPINGS)} beside it"
        return Item(key, (self.path / key).read_bytes, captions, split_of(Path(key).parts[:-2]), label, broken)


def mapping(path: Path) -> dict[str, list[str]]:
    """Synset -> its names, from the first mapping file in the folder or above it; empty if there is none."""
    for folder in (path, *list(path.parents)[:2]):
        for name in MAPPINGS:
            if (folder / name).is_file():
                return _mapping(folder / name)
    return {}


def _mapping(file: Path) -> dict[str, list[str]]:
    if file.suffix == ".json":
        pairs = json.loads(file.read_text("utf-8")).values()
        return {synset: [_said(name)] for synset, name in pairs}
    out = {}
    for line in file.read_text("utf-8").splitlines():
        synset, _, names = line.partition("\t" if "\t" in line else " ")
        if SYNSET.fullmatch(synset):
            out[synset] = [name.strip() for name in names.split(",") if name.strip()]
    return out


def _said(label: str) -> str:
    """A folder's name as words; CUB's ``001.Black_footed_Albatross`` loses its number."""
    return re.sub(r"^\d+[._-]", "", label).replace("_", " ").replace("-", " ").strip()


def _pictures(path: Path) -> list[tuple[str, str]]:
    """(class, path) of the pictures whose folder is not a split's."""
    out = []
    for file in sorted(p for p in path.rglob("*") if is_picture(p) and p.is_file()):
        key = file.relative_to(path)
        if len(key.parts) > 1 and key.parts[-2].lower() not in SPLITS:
            out.append((key.parts[-2], key.as_posix()))
    return out
