"""From the ``data`` of a stage to a source of batches, and the assets (tokenizer, words) that belong to it.

It knows every source by name; families and the loop know none.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

from tranh.data.scenes.frame_captions import told
from tranh.data.scenes.frames import sequence
from tranh.data.scenes.instructions import LANGUAGES as SPOKEN
from tranh.data.scenes.instructions import instructions
from tranh.data.scenes.layout import generator, scene
from tranh.data.scenes.lessons import Deep, Instructed, MovingScenes
from tranh.data.scenes.source import LANGUAGES, Scenes, cache_dir, say
from tranh.data.scenes.windows import Windows
from tranh.data.scenes.world import LEVELS, VERSION
from tranh.engine.source import Source
from tranh.files import write_bytes
from tranh.recipes import own
from tranh.recipes.own import TOKENIZER, WORDS, Assets
from tranh.text.tokenizer import Tokenizer
from tranh.text.words import Words
from tranh.types import Event, TranhError

Tick = Callable[[int, int], None]

CAPTIONED = 4000
"""Scenes per level whose captions teach the tokenizer and the list of known words."""

LESSONS: Mapping[str, Callable[..., Source]] = {
    "captions": Scenes,
    "instructions": Instructed,
    "motions": MovingScenes,
    "depth": Deep,
    "windows": Windows,
}
"""What of Scenes is learned, as ``lessons`` of a stage's data says."""

ASKED = 3000
"""Instructions, and sequences, whose words are known to who learns from them."""


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


def _more_words(lessons: str) -> Iterator[str]:
    if lessons == "instructions":
        yield from instructions("train", ASKED)
    if lessons == "motions":
        for i in range(ASKED):
            yield told(sequence("train", i), SPOKEN[i % len(SPOKEN)], generator("words", i), bool(i % 4))


def lessons_assets(lessons: str) -> Assets:
    """As :func:`scenes_assets`, with the words of more than captions known; the tokenizer is the same."""
    found, path = scenes_assets(), cache_dir() / f"scenes-v{VERSION}-{lessons}-{WORDS}"
    if not path.exists():
        write_bytes(path, Words.load(found[WORDS]).joined(Words.count(_more_words(lessons))).save())
    return found | {WORDS: path.read_bytes()}


def assets_of(data: Mapping[str, Any]) -> Assets:
    """Tokenizer and known words of a stage's data; for ``words_of`` those of a model."""
    if _of_scenes(data):
        lessons = data.get("lessons", "captions")
        return lessons_assets(lessons) if lessons in ("instructions", "motions") else scenes_assets()
    return own.assets(data)


def settled(data: Mapping[str, Any]) -> dict[str, Any]:
    """A stage's data with what names its content: a run that goes on with other pictures is refused."""
    return dict(data) if _of_scenes(data) else dict(data) | {"hash": own.prepared(data).hash}


def get_ready(data: Mapping[str, Any]) -> Iterator[Event]:
    """Whatever has to be done once before the data can be read: own pictures are prepared."""
    if not _of_scenes(data):
        yield from own.prepare(data)


def index_of(data: Mapping[str, Any]) -> Generator[Event, None, Assets]:
    """The index of own training pictures, as an asset; none of Scenes, whose pictures anybody can draw again."""
    found: Assets = {}
    if not _of_scenes(data):
        for event in own.index(data):
            found = event.result or found
            yield Event(event.stage, event.done, event.total)
    return found


def _of_scenes(data: Mapping[str, Any]) -> bool:
    return bool(data.get("source", "scenes") == "scenes")


def source_of(data: Mapping[str, Any], assets: Assets, progress: Tick | None = None) -> Source:
    """The source of batches that a stage's data describes.

    Raises:
        TranhError: an unknown source or option.
    """
    tokenizer = Tokenizer.load(assets[TOKENIZER])
    if not _of_scenes(data):
        return own.source(data, tokenizer, progress)
    options = {k: v for k, v in data.items() if k not in ("source", "lessons")}
    lessons = str(data.get("lessons", "captions"))
    if lessons not in LESSONS:
        raise TranhError(f"lessons is {lessons!r}; of Scenes there are: {', '.join(LESSONS)}")
    try:
        return LESSONS[lessons](tokenizer.encode, progress=progress, **options)
    except (TypeError, ValueError) as error:
        raise TranhError(f"the data of this stage cannot be read: {error}") from error
