"""Captions written anew for pictures that have only short ones (DALL-E 3: Betker et al. 2023), as an image folder.

Who writes them is handed in: the verifier for pictures of Scenes, or any function of the user's. It knows no picture's
content. The originals are kept beside the new ones, so that short prompts stay known.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tranh import files
from tranh.data.decode import BrokenPicture, decode
from tranh.data.detect import detect
from tranh.data.fit import square
from tranh.data.item import Item
from tranh.data.scenes.source import say
from tranh.nn.pixels import to_images
from tranh.recipes import models
from tranh.recipes.judge import SIDE, Judge
from tranh.recipes.seen_scene import scene_of
from tranh.types import Event, TranhError

Captioner = Callable[[Sequence[Image.Image]], Sequence[Any]]
"""RGB pictures -> for each a caption, or ``{"en": caption or captions, "vi": ...}``."""

WORDINGS = 2
"""Captions of the verifier per language: the same facts in other words."""
AT_ONCE = 32
LINES, ABOUT, LEFT = "metadata.jsonl", "recaption.json", "left_out.jsonl"


def verifier_captioner(wordings: int = WORDINGS) -> Captioner:
    """Says in English and Vietnamese all that the verifier sees; of pictures of Scenes only."""
    judge = Judge(models.verifier())

    def write(pictures: Sequence[Image.Image]) -> list[dict[str, list[str]]]:
        pixels = np.stack([np.asarray(square(picture, SIDE)) for picture in pictures])
        scenes = [scene_of(reading) for reading in judge.read(to_images(pixels))]
        return [
            {code: [say(s, code, "dense", repr(s), k)[0] for k in range(wordings)] for code in ("en", "vi")}
            for s in scenes
        ]

    return write


def captioner(name: str) -> Captioner:
    """The captioner of a name: ``verifier``, or ``module:function`` of the user's, looked for in this folder too.

    Raises:
        TranhError: there is no such function.
    """
    if name == "verifier":
        return verifier_captioner()
    module, _, function = name.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        found: Captioner = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise TranhError(
            f"{name!r} is no captioner ({error}). Allowed: verifier (pictures of Scenes), or module:function, where "
            "the function takes a list of PIL pictures and gives for each a caption or {language: captions}."
        ) from error
    finally:
        sys.path.remove(os.getcwd())
    return found


def recaption(
    source: str, out: Path, write: Captioner, *, name: str = "", kind: str | None = None, originals: bool = True
) -> Iterator[Event]:
    """Write pictures and new captions as an image folder with ``metadata.jsonl``.

    Args:
        source: anything that ``tranh data inspect`` tells; kind: what it is read as.
        out: a new folder, or one that the same call began before: it goes on.
        write: who writes the captions; name: what it is called.
        originals: keep the captions that were there.

    Yields:
        Progress; the last event's ``result`` has the numbers of pictures ``kept`` and ``left`` out (which are listed in
        ``left_out.jsonl``).

    Raises:
        TranhError: nothing to read, ``out`` belongs to something else, or the captioner gives what is no caption.
    """
    pictures = detect(source, kind).read()
    about = {"source": str(source), "pictures": len(pictures), "captioner": name, "originals": originals}
    done = _begin(out, about)
    kept, total = len((out / LINES).read_bytes().splitlines()), len(pictures)
    for start in range(done, total, AT_ONCE):
        opened, left = [], []
        for index in range(start, min(start + AT_ONCE, total)):
            try:
                item = pictures[index]
                opened.append((index, item, decode(item.read(), box=item.box).image))
            except (BrokenPicture, OSError) as error:
                left.append({"item": index, "reason": str(error)})
        said = list(write([image for _, _, image in opened])) if opened else []
        if len(said) != len(opened):
            raise TranhError(f"{name} gave {len(said)} captions for {len(opened)} pictures; it must give one for each")
        lines = []
        for (index, item, image), new in zip(opened, said, strict=True):
            file = f"{index:07d}.png"
            (out / "pictures").mkdir(exist_ok=True)
            image.info.clear()
            image.save(out / "pictures" / file)
            lines.append(_record(f"pictures/{file}", item, _by_language(new, name), originals))
        kept += len(lines)
        _append(out / LINES, lines)
        _append(out / LEFT, left)
        files.write_json(out / ABOUT, about | {"done": min(start + AT_ONCE, total), "kept": kept})
        yield Event("recaption", min(start + AT_ONCE, total), total, {"kept": kept})
    yield Event("recaption", total, total, {"kept": kept}, result={"kept": kept, "left": total - kept})


def _begin(out: Path, about: Mapping[str, Any]) -> int:
    """How many are done; lines that a killed run wrote after it last said so are taken off."""
    out.mkdir(parents=True, exist_ok=True)
    state = files.read_json(out / ABOUT) if (out / ABOUT).is_file() else None
    if state is None and any(out.iterdir()):
        raise TranhError(f"{out} is not empty: choose a new folder")
    state = state or {**about, "done": 0, "kept": 0}
    if any(state[key] != value for key, value in about.items()):
        raise TranhError(f"{out} was begun from another source or captioner: choose a new folder")
    files.write_json(out / ABOUT, state)
    for name, count in ((LINES, state["kept"]), (LEFT, state["done"] - state["kept"])):
        lines = (out / name).read_bytes().splitlines(keepends=True) if (out / name).is_file() else []
        files.write_bytes(out / name, b"".join(lines[:count]))
    return int(state["done"])


def _append(file: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    with file.open("a", encoding="utf-8") as opened:
        opened.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _by_language(new: Any, name: str) -> dict[str, list[str]]:
    """Captions of one picture by the language that is said, empty where none is."""
    given = new if isinstance(new, Mapping) else {"": new}
    out = {}
    for code, texts in given.items():
        out[code] = [texts] if isinstance(texts, str) else list(texts) if isinstance(texts, Sequence) else [texts]
        if not isinstance(code, str) or not all(isinstance(text, str) for text in out[code]):
            raise TranhError(f"{name} gave {new!r}; allowed are a caption, or {{language: caption or captions}}")
    return out


def _record(file: str, item: Item, new: Mapping[str, list[str]], originals: bool) -> dict[str, Any]:
    captions = {code: list(texts) for code, texts in new.items()}
    for caption in item.captions if originals else ():
        captions.setdefault(caption.language, []).append(caption.text)
    record: dict[str, Any] = {"file_name": file}
    record |= {f"text_{code}" if code else "text": texts for code, texts in captions.items() if texts}
    record |= {"split": item.split} if item.split else {}
    return record | ({"label": item.label} if item.label is not None else {})
