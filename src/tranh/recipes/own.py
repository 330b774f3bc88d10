"""Own pictures as the data of a stage: ``{"source": PATH}`` prepared once, with the assets made of their captions.

A path may be anything that ``tranh data inspect`` tells, or a folder that is prepared already.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tranh.data import prepare as preparation
from tranh.data.detect import detect
from tranh.data.pictures import Pictures, language_of
from tranh.data.prepared import Prepared, Tick, is_prepared
from tranh.data.ready import Options
from tranh.data.scenes.source import cache_dir
from tranh.files import write_bytes
from tranh.metrics.memory import TooFew
from tranh.metrics.network import Network
from tranh.metrics.statistics import Statistics
from tranh.nn.pixels import to_images
from tranh.recipes import memory, networks
from tranh.recipes.reference import reference
from tranh.text.normalise import normalise, strip_diacritics
from tranh.text.tokenizer import Tokenizer
from tranh.text.words import Words
from tranh.types import Event, TranhError

Assets = dict[str, bytes]
TOKENIZER, WORDS = "tokenizer.json", "words.json"

SIDE = 256
"""Pixels per side that pictures are prepared at when they are trained on as they lie."""

SMALL, DIGIT = ("digits", "idx"), 8
"""Kinds of data sets whose pictures are meant to be tiny, and the least side of theirs."""

CAPTIONED = 200_000
"""Pictures whose captions teach the tokenizer and the list of known words; of more, as many are taken evenly."""

REFERENCE = 10_000
"""Training pictures that sets of pictures are compared with."""

FEATURED = 10_000
"""Most training pictures whose features are kept beside their looks."""

OPTIONS = ("split", "size", "languages", "unmarked", "pairs")
"""What a stage may set of :class:`Pictures`; ``source``, ``hash`` and ``words_of`` are beside them."""


def folder_of(data: Mapping[str, Any]) -> Path:
    """Where the prepared pictures of a stage lie: the path itself, or a place in the cache that its files name."""
    path = Path(str(data["source"]))
    if is_prepared(path):
        return path
    return cache_dir() / "prepared" / _name(path)


def _name(path: Path) -> str:
    """Names what lies at a path: its files with their sizes and times, so that a picture added later is seen."""
    digest = hashlib.sha256(f"{path.absolute()}\n{SIDE}\n".encode("utf-8", "surrogateescape"))
    for file in (path,) if path.is_file() else (p for p in sorted(path.rglob("*")) if p.is_file()):
        about = file.stat()
        line = f"{file}\n{about.st_size}\n{about.st_mtime_ns}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:24]


def prepare(data: Mapping[str, Any]) -> Iterator[Event]:
    """Prepare the pictures of a stage, unless they are.

    Raises:
        TranhError: nothing to read there, or too much of it is broken.
    """
    yield from _prepare(str(data["source"]), folder_of(data))


def _prepare(source: str, folder: Path) -> Iterator[Event]:
    if not is_prepared(folder):
        kind = detect(source).kind  # says what is wrong before a folder is made
        options = Options(size=SIDE, least=DIGIT if kind in SMALL else Options.least)
        yield from preparation.prepare(source, folder, options)


def prepared(data: Mapping[str, Any]) -> Prepared:
    """The prepared pictures of a stage; prepares them first where nobody has."""
    folder = folder_of(data)  # looks at every file: once is enough
    for _ in _prepare(str(data["source"]), folder):
        pass
    return Prepared(folder, cache_dir())


def source(data: Mapping[str, Any], tokenizer: Tokenizer, progress: Tick | None = None) -> Pictures:
    """Batches of a stage's pictures. Captions longer than the tokenizer's length are cut: the doctor counts them.

    Raises:
        TranhError: an option that pictures do not have.
    """
    options = {k: v for k, v in data.items() if k not in ("source", "hash", "words_of")}
    unknown = sorted(options.keys() - set(OPTIONS))
    if unknown:
        raise TranhError(f"own pictures have no {', '.join(unknown)}; data settings are: {', '.join(OPTIONS)}")
    pictures = prepared(data)
    if data.get("hash", pictures.hash) != pictures.hash:
        raise TranhError(f"the pictures of {data['source']} have changed since this training began: use a new folder")
    return Pictures(partial(_encode, tokenizer), pictures, progress=progress, **options)


def _encode(tokenizer: Tokenizer, captions: Any) -> Any:
    return tokenizer.encode(captions, multiple=8, notice=_ignore)  # few shapes: every new one takes memory


def _ignore(message: str) -> None:
    """A caption too long for the model was cut; the doctor of data counts them."""


def assets(data: Mapping[str, Any]) -> Assets:
    """Tokenizer and known words of the training captions, made once; with ``words_of`` (a model's folder) its own."""
    pictures = prepared(data)
    model = data.get("words_of")
    key = hashlib.sha256(f"{pictures.hash}\n{model}\n".encode()).hexdigest()[:16]
    paths = {name: cache_dir() / f"pictures-{key}-{name}" for name in (TOKENIZER, WORDS)}
    if not all(path.exists() for path in paths.values()):
        captions = list(_captions(pictures))
        words = Words.count(captions)
        if model is None:
            tokenizer = Tokenizer.train(captions)
        else:
            there = Path(str(model))
            tokenizer = Tokenizer.load((there / TOKENIZER).read_bytes())
            words = words.joined(Words.load((there / WORDS).read_bytes()))
        for name, content in ((TOKENIZER, tokenizer.save()), (WORDS, words.save())):
            write_bytes(paths[name], content)
    return {name: path.read_bytes() for name, path in paths.items()}


def untold(data: Mapping[str, Any], size: int) -> Pictures:
    """The pictures of a stage at a size, without tokens: for those who have captions as words."""

    def nothing(captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        empty = torch.zeros(len(captions), 0)
        return empty.long(), empty.bool()

    return Pictures(nothing, prepared(data), size=size)


def statistics(pictures: Pictures, network: Network) -> Statistics:
    """What the training pictures look like to a network: of up to ``REFERENCE`` of them, computed once and kept."""
    rows = pictures.training[:REFERENCE].tolist()
    batches = (pictures.images(rows[i : i + 64]) for i in range(0, len(rows), 64))
    name = hashlib.sha256(f"{pictures.prepared.hash}\n{pictures.split}\n".encode()).hexdigest()
    return reference(name, network, batches, cache_dir() / "statistics", size=pictures.size, count=len(rows))


def index(data: Mapping[str, Any]) -> Iterator[Event]:
    """The index of the training pictures that the guard against copying asks, made once and kept.

    Features are in it for up to ``FEATURED`` pictures: they take 15 ms each, and only reports ask for them.

    Yields:
        Progress; the last event's ``result`` is the asset by name, empty for too few pictures.
    """
    pictures = prepared(data)
    path = cache_dir() / f"pictures-{pictures.hash[:16]}-{memory.MEMORY}"
    if not path.exists():
        rows = pictures.of("train")
        network = networks.own() if len(rows) <= FEATURED else None
        total = min(len(rows), memory.MOST)
        try:
            for event in memory.building(_with_keys(pictures, rows), network=network, total=total):
                if event.result is not None:
                    write_bytes(path, event.result.save())
                yield Event("index", event.done, total)
        except TooFew:
            yield Event("index", total, total, result={})
            return
    yield Event("index", 1, 1, result={memory.MEMORY: path.read_bytes()})


def _with_keys(pictures: Prepared, rows: np.ndarray, size: int = 64) -> Iterator[tuple[list[str], Tensor]]:
    """Keys and pictures, a few at a time."""
    unpacked = pictures.unpacked(size)
    assert unpacked is not None
    for start in range(0, len(rows), 64):
        part = rows[start : start + 64]
        yield [pictures.record(int(i))["key"] for i in part], to_images(unpacked[part])


def _captions(pictures: Prepared) -> Iterator[str]:
    """The captions trained on, Vietnamese ones without marks too."""
    indices = pictures.of("train")
    if len(indices) > CAPTIONED:
        indices = indices[np.linspace(0, len(indices) - 1, CAPTIONED).astype(int)]
    for index in indices:
        for caption in pictures.record(int(index))["captions"]:
            text = normalise(caption["text"])
            yield text
            if language_of(text, caption["language"]) == "vi":
                yield strip_diacritics(text)
