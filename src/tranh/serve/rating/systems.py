"""Where a system's pictures come from: an evaluation, any captioned pictures, or a model that draws them first.

It gives pictures by caption and knows nothing of comparing them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tranh.data.detect import detect
from tranh.data.scenes.world import VERSION
from tranh.engine.evaluate import RESULTS
from tranh.engine.picture import read_settings, save_picture
from tranh.files import write_bytes
from tranh.recipes import models
from tranh.recipes.evaluate import asked_of
from tranh.serve.rating.study import Picture, Prompt, System, plain
from tranh.text.normalise import looks_vietnamese
from tranh.types import Event, Generates, Request, TranhError

MOST_PROMPTS = 10_000


def read(path: Path, name: str) -> System:
    """The system whose pictures lie in a folder: what ``tranh evaluate`` left, or captioned pictures of any kind.

    Raises:
        TranhError: it is neither, or no picture in it has a caption.
    """
    found = list(_evaluated(path) if (path / RESULTS).is_file() else _captioned(path))
    if not found:
        raise TranhError(f"{path}: no picture in it has a caption, so it cannot be matched with another system's.")
    return _system(name, found)


def draw(
    model: str, prompts: Sequence[str], folder: Path, name: str, *, samples: int, seed: int = 0
) -> Iterator[Event]:
    """Let a model draw every prompt ``samples`` times into a folder; pictures that are there are kept.

    Picture k of a prompt has seed ``seed + k``, for every model the same. The last event's ``result`` is the system.

    Raises:
        TranhError: no model is called so, it makes no pictures, or it refuses a prompt.
    """
    system = models.load(model)
    if not isinstance(system, Generates):
        raise TranhError(f"{model} makes no pictures: name another model, see `tranh models`.")
    folder.mkdir(parents=True, exist_ok=True)
    total, lines = len(prompts) * samples, []
    for i, prompt in enumerate(prompts):
        for k in range(samples):
            path = folder / f"{i:05d}-{k:02d}.png"
            if not _drawn(path, prompt, seed + k, getattr(system, "hash", None)):
                result: Any = None
                for event in system.generate_events(Request(prompt, seed=seed + k)):
                    result = event.result
                save_picture(result.images[0], path, result.settings[0])
            lines.append(json.dumps({"file_name": path.name, "text": prompt}, ensure_ascii=False))
            yield Event(f"draw {name}", i * samples + k + 1, total)
    write_bytes(folder / "metadata.jsonl", "".join(f"{line}\n" for line in lines).encode())
    yield Event(f"draw {name}", total, total, result=read(folder, name))


def _drawn(path: Path, prompt: str, seed: int, model: object) -> bool:
    """Is the picture there already, as this model would draw it?"""
    if not path.is_file():
        return False
    settings = read_settings(path)
    return (settings.get("prompt"), settings.get("seed"), settings.get("hash")) == (prompt, seed, model)


def read_prompts(path: Path) -> list[str]:
    """One prompt a line; empty lines, repetitions and lines that begin with # are left out.

    Raises:
        TranhError: the file cannot be read as text, or holds no prompt or too many.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TranhError(f"{path} cannot be read as prompts ({error}): one prompt a line, in UTF-8.") from error
    found: dict[str, str] = {}
    for line in lines:
        if line.strip() and not line.startswith("#"):
            found.setdefault(plain(line), line.strip())
    if not 0 < len(found) <= MOST_PROMPTS:
        raise TranhError(f"{path} holds {len(found)} prompts; between 1 and {MOST_PROMPTS} are drawn, one a line.")
    return list(found.values())


def names(given: Sequence[str]) -> list[str]:
    """What systems are called: the last part of their path, or all of it where two would have the same name."""
    short = [Path(one).name or one for one in given]
    return [one if short.count(last) > 1 else last for one, last in zip(given, short, strict=True)]


def guessed(caption: str) -> str:
    """The language of a caption whose source is silent: ``vi`` if it has a letter of Vietnamese alone, else empty."""
    return "vi" if looks_vietnamese(caption) else ""


def _system(name: str, found: Iterable[tuple[Prompt, Picture]]) -> System:
    prompts: dict[str, Prompt] = {}
    pictures: dict[str, list[Picture]] = {}
    for prompt, picture in found:
        prompts.setdefault(prompt.key, prompt)
        pictures.setdefault(prompt.key, []).append(picture)
    in_order = {key: tuple(sorted(several, key=lambda p: p.key)) for key, several in pictures.items()}
    return System(name, prompts, in_order)


def _captioned(path: Path) -> Iterator[tuple[Prompt, Picture]]:
    items = detect(path).read()
    for k in range(len(items)):
        item = items[k]
        captions = {c.language or guessed(c.text): c.text for c in reversed(item.captions) if plain(c.text)}
        if captions and not item.broken:
            yield Prompt(dict(reversed(captions.items()))), Picture(item.key, item.read)


def _evaluated(path: Path) -> Iterator[tuple[Prompt, Picture]]:
    """Of a caption that was drawn several times to measure diversity, those samples; of any other, its one picture."""
    protocol, *records = _lines(path / RESULTS)
    settings = protocol["protocol"]
    ours = settings.get("scenes") == VERSION  # another version of Scenes said other things under the same keys
    found = []
    for record in records:
        key = str(record.get("key", ""))
        asked = asked_of(key, str(settings.get("density", "dense"))) if ours else None
        caption = record.get("caption") or record.get("prompt") or (asked and asked.caption)
        if not isinstance(caption, str) or not plain(caption):
            raise TranhError(f"{path / RESULTS} does not say what {key!r} shows: evaluate again, or add captions.")
        prompt = Prompt({asked.language if asked else str(record.get("language", "")): caption})
        file = path / "pictures" / f"{key}.png"
        if not file.resolve().is_relative_to(path.resolve()):
            raise TranhError(f"{path / RESULTS} names a picture outside its folder: {key!r}.")
        found.append((prompt, Picture(key, file.read_bytes), asked is not None and asked.repeat is not None))
    several = {prompt.key for prompt, _, sample in found if sample}
    for prompt, picture, sample in found:
        if sample or prompt.key not in several:
            yield prompt, picture


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise TranhError(f"{path} is damaged ({error}): evaluate again into another folder.") from error
    if not lines or not all(isinstance(line, dict) for line in lines) or not isinstance(lines[0].get("protocol"), dict):
        raise TranhError(f"{path} was not written by `tranh evaluate`.")
    return lines
