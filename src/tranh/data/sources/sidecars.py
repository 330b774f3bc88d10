"""Pictures with a text file of the same name beside each: ``cat.jpg`` and ``cat.txt``, ``cat.en.txt``, ``cat.vi.txt``.

Every line of a text file is a caption.
"""

from __future__ import annotations

from pathlib import Path

from tranh.data.item import Caption, Item, is_picture, split_of

ENOUGH = 0.5
"""Share of the pictures that must have a text beside them for the folder to be of this kind."""
LOOK = 2000


def found(path: Path) -> str | None:
    """Why this is such a folder, or None."""
    if not path.is_dir():
        return None
    pictures = _pictures(path)[:LOOK]
    told = sum(bool(_texts(path / picture)) for picture in pictures)
    return f"{told} of {len(pictures)} pictures have a .txt beside them" if told > ENOUGH * len(pictures) else None


def read(path: Path) -> Sidecars:
    """All pictures under the folder, by name."""
    return Sidecars(path)


class Sidecars:
    """Pictures in the order of their paths."""

    def __init__(self, path: Path) -> None:
        self.path, self.keys = path, _pictures(path)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Item:
        key = self.keys[index]
        captions: list[Caption] = []
        broken = ""
        for file, language in _texts(self.path / key):
            try:
                text = file.read_text("utf-8-sig")
            except UnicodeDecodeError as error:
                broken = f"{file.name} is not UTF-8: {error}"
                text = file.read_text("utf-8-sig", errors="replace")
            captions += [Caption(line, language) for line in text.splitlines() if line.strip()] or [
                Caption("", language)
            ]
        return Item(key, (self.path / key).read_bytes, tuple(captions), split_of(Path(key).parts[:-1]), None, broken)


def _pictures(path: Path) -> list[str]:
    return sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if is_picture(p) and p.is_file())


def _texts(picture: Path) -> list[tuple[Path, str]]:
    """The text files of a picture and the language their names say."""
    plain = picture.with_suffix(".txt")
    spoken = [(picture.with_suffix(f".{code}.txt"), code) for code in ("en", "vi")]
    return [(file, code) for file, code in [(plain, ""), *spoken] if file.is_file()]
