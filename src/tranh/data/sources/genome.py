"""Visual Genome: ``region_descriptions.json`` beside ``VG_100K`` and ``VG_100K_2``; each described region is a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tranh.data.item import Caption, Item
from tranh.types import TranhError

NAME = "region_descriptions.json"
PLACES = ("VG_100K", "VG_100K_2", "images", "images/VG_100K", "images/VG_100K_2", ".")


def found(path: Path) -> str | None:
    """Why this is Visual Genome, or None."""
    file = path if path.name == NAME else path / NAME
    return f"regions of Visual Genome in {file.name}" if file.is_file() else None


def read(path: Path) -> Genome:
    """Every region, in the order of the file."""
    return Genome(path if path.name == NAME else path / NAME)


class Genome:
    """Regions of pictures with a phrase each."""

    def __init__(self, file: Path) -> None:
        self.root = file.parent
        try:
            value: list[dict[str, Any]] = json.loads(file.read_bytes())
            self.rows = [
                (int(one.get("image_id", picture["id"])), one, str(one["phrase"]))
                for picture in value
                for one in picture["regions"]
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise TranhError(f"{file} holds no regions of Visual Genome: {error!r}") from error

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Item:
        number, region, phrase = self.rows[index]
        box = (int(region["x"]), int(region["y"]), int(region["width"]), int(region["height"]))
        file = next((p for place in PLACES if (p := self.root / place / f"{number}.jpg").is_file()), None)
        picture = file or self.root / PLACES[0] / f"{number}.jpg"
        key = f"{number}/{region.get('region_id', index)}"
        return Item(key, picture.read_bytes, (Caption(phrase.strip(), "en"),), box=box)
