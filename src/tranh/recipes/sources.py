"""From the ``data`` of a stage to a source of batches, and the assets (tokenizer, words) that belong to it.

It knows every source by name; families and the loop know none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tranh.data.scenes.layout import scene
from tranh.data.scenes.source import LANGUAGES, Scenes, cache_dir, say
from tranh.data.scenes.world import LEVELS, VERSION
from tranh.engine.source import Source
from tranh.files import write_bytes
from tranh.text.tokenizer import Tokenizer
from tranh.text.words import Words
from tranh.types import TranhError

Assets = dict[str, bytes]
Tick = Callable[[int, int], None]

TOKENIZER, WORDS = "tokenizer.json", "words.json"
CAPTIONED = 4000
"""Scenes per level whose captions teach the tokenizer and the list of known words."""


def _scenes_captions() -> Iterator[str]:
    for level in LEVELS:
        for i in range(CAPTIONED):
            value = scene(level, "train", i)
            for language in LANGUAGES:
                yield say(value, language, "dense" if i % 4 else "short", "words", level, i)[0]


def scenes_assets() -> Assets:
    """Tokenizer and known words of Scenes: the same for every run, so made once and kept in the cache."""
    names = (TOKENIZER, WORDS)
    paths = [cache_dir() / f"scenes-v{VERSION}-{name}" for name in names]
    if not all(path.exists() for path in paths):
        captions = list(_scenes_captions())
        contents = (Tokenizer.train(captions).save(), Words.count(captions).save())
        cache_dir().mkdir(parents=True, exist_ok=True)
        for path, content in zip(paths, contents, strict=True):
            write_bytes(path, content)
    return {name: path.read_bytes() for name, path in zip(names, paths, strict=True)}


def assets_of(data: Mapping[str, Any]) -> Assets:
    """The assets of a stage's data."""
    _check_source(data)
    return scenes_assets()


def _check_source(data: Mapping[str, Any]) -> None:
    name = data.get("source", "scenes")
    if name != "scenes":
        raise TranhError(f"data source {name!r} is unknown; allowed: scenes")


def source_of(data: Mapping[str, Any], assets: Assets, progress: Tick | None = None) -> Source:
    """The source of batches that a stage's data describes.

    Raises:
        TranhError: an unknown source or option.
    """
    options = {k: v for k, v in data.items() if k != "source"}
    _check_source(data)
    tokenizer = Tokenizer.load(assets[TOKENIZER])
    try:
        return Scenes(tokenizer.encode, progress=progress, **options)
    except (TypeError, ValueError) as error:
        raise TranhError(f"the data of this stage cannot be read: {error}") from error
