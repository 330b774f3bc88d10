"""A clean folder, and what puts faults into it; ``PLANTS`` are those of the modules that stand beside it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tranh.data.doctor import Reading
from tranh.data.scenes.draw import render
from tranh.data.scenes.layout import scene
from tranh.data.scenes.source import say
from tranh.recipes.models import SHIPPED

COUNT, SIDE = 60, 80
LEVELS = ("one", "two", "full")
READING = Reading((SHIPPED / "tranh-1" / "tokenizer.json").read_bytes(), "tranh-1")


def picture(i: int, side: int = SIDE) -> Image.Image:
    return Image.fromarray(render(scene(LEVELS[i % 3], "train", i), side))


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def split(i: int) -> str:
    return "train" if i < 48 else "validation" if i < 54 else "test"


def build(root: Path) -> None:
    """Sixty scenes, PNG and JPEG, in three splits and three classes, with captions in two languages."""
    lines = []
    for i in range(COUNT):
        name = f"{split(i)}/{i:03d}.{'png' if i % 2 == 0 else 'jpg'}"
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(i)) if i % 2 == 0 else encoded(picture(i), "JPEG", quality=92))
        said = {f"text_{code}": say(scene(LEVELS[i % 3], "train", i), code, "dense", i)[0] for code in ("en", "vi")}
        lines.append({"file_name": name, **said, "label": LEVELS[i % 3]})
    (root / "metadata.jsonl").write_text("".join(json.dumps(x, ensure_ascii=False) + "\n" for x in lines), "utf-8")


class Lay:
    """A copy of the clean folder that a fault is planted into."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rows: list[Any] = [json.loads(line) for line in (root / "metadata.jsonl").read_text("utf-8").splitlines()]

    def key(self, i: int) -> str:
        return str(self.rows[i]["file_name"])

    def path(self, i: int) -> Path:
        return self.root / self.key(i)

    def put(self, i: int, data: bytes) -> str:
        """Other bytes for a picture."""
        self.path(i).unlink()
        self.path(i).write_bytes(data)
        return self.key(i)

    def move(self, i: int, name: str, data: bytes | None = None) -> str:
        """Another name for a picture, and other bytes."""
        old = self.path(i)
        data = old.read_bytes() if data is None else data
        old.unlink()
        (self.root / name).write_bytes(data)
        self.rows[i]["file_name"] = name
        return name

    def say(self, i: int, en: Any = None, vi: Any = None) -> str:
        """Other captions for a picture."""
        for name, text in (("text_en", en), ("text_vi", vi)):
            if text is not None:
                self.rows[i][name] = text
        return self.key(i)

    def add(self, name: str, data: bytes, en: str = "a thing of its own", vi: str = "một vật riêng") -> str:
        """One more picture."""
        (self.root / name).write_bytes(data)
        self.rows.append({"file_name": name, "text_en": en, "text_vi": vi, "label": "one"})
        return name

    def line(self, data: bytes) -> str:
        """One more line of metadata as it is."""
        self.rows.append(data)
        return f"metadata.jsonl:{len(self.rows)}"

    def copy(self, i: int, name: str) -> str:
        """A picture and all that is said of it once more."""
        (self.root / name).write_bytes(self.path(i).read_bytes())
        self.rows.append(self.rows[i] | {"file_name": name})
        return name

    def save(self) -> None:
        lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in self.rows]
        text = b"".join(line + b"\n" for line in lines)
        (self.root / "metadata.jsonl").unlink()
        (self.root / "metadata.jsonl").write_bytes(text)


@dataclass(frozen=True)
class Plant:
    """A fault: the finding that must name it, what must come with it, and how it is put there."""

    finding: str
    also: tuple[str, ...]
    put: Callable[[Lay], str]

    @property
    def name(self) -> str:
        return self.put.__name__


PLANTS: list[Plant] = []


def plant(finding: str, *also: str) -> Callable[[Callable[[Lay], str]], Callable[[Lay], str]]:
    def keep(put: Callable[[Lay], str]) -> Callable[[Lay], str]:
        PLANTS.append(Plant(finding, also, put))
        return put

    return keep
