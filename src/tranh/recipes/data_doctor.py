"""`tranh data doctor PATH`: the checks of ``data/doctor`` with a model's tokenizer and, if one is named, its CLIP.

It writes the report and the list of everything found, and changes nothing in the data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from tranh.data import fit
from tranh.data.doctor import Diagnosis, Finding, Reading, scan
from tranh.data.doctor.match import matcher
from tranh.data.doctor.page import page
from tranh.data.doctor.scanning import Matcher
from tranh.files import replacing
from tranh.nn.pixels import to_images
from tranh.recipes import models
from tranh.recipes.sources import TOKENIZER
from tranh.text import normalise
from tranh.text.tokenizer import Tokenizer
from tranh.types import Event, TranhError

FINDINGS = "findings.json"


class Examined:
    """What an examination gave: the findings, and where the report lies."""

    def __init__(self, findings: Sequence[Finding], report: Path, listing: Path, pictures: int, captions: int) -> None:
        self.findings, self.report, self.listing = tuple(findings), report, listing
        self.pictures, self.captions = pictures, captions

    @property
    def faults(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == "fault")


def examine(
    source: str | Path,
    out: Path,
    *,
    model: str | None = None,
    clip: str | None = None,
    kind: str | None = None,
    limit: int | None = None,
    workers: int | None = None,
) -> Iterator[Event]:
    """Look at all of a source and write what was found.

    Args:
        source: a folder, shards, ...; kind: what it is read as, None looks.
        out: the report, an HTML file; ``findings.json`` is written beside it.
        model: whose tokenizer counts tokens, a name or a folder; the default model's if None.
        clip: a model with a CLIP, which looks for captions that do not fit; None leaves that out.
        limit: most pictures looked at, spread evenly.

    Yields:
        Progress; the last event's ``result`` is :class:`Examined`.

    Raises:
        TranhError: there is nothing to look at, or no such model, or it has no CLIP.
    """
    check_report(out)
    reading, match = reading_of(model), None if clip is None else matcher_of(clip)
    with TemporaryDirectory(prefix="tranh-doctor-") as work:
        for event in scan(source, reading, kind=kind, limit=limit, workers=workers, matcher=match, work=Path(work)):
            if event.result is None:
                yield event
                continue
            diagnosis: Diagnosis = event.result
            try:
                listing = write(diagnosis, str(source), out)
            finally:
                diagnosis.close()
            result = Examined(diagnosis.findings, out, listing, diagnosis.looked, diagnosis.tally.captions)
            yield Event(event.stage, event.done, event.total, result=result)


def check_report(out: Path) -> None:
    """Refuse a report that could not be written, before anything is looked at.

    Raises:
        TranhError: another suffix, or no such folder.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise TranhError(f"{out}: the report is a page; end its name in .html")
    if not out.absolute().parent.is_dir():
        raise TranhError(f"{out}: there is no folder {out.absolute().parent}; make it first")


def reading_of(model: str | None) -> Reading:
    """The tokenizer of a model, the default one's if None.

    Raises:
        TranhError: the model has none.
    """
    place = models.folder(model or models.DEFAULT)
    file = place / TOKENIZER
    if not file.is_file():
        raise TranhError(f"{model} has no tokenizer; name a model that reads captions, such as {models.DEFAULT}")
    return Reading(file.read_bytes(), model or models.DEFAULT, chosen=model is not None)


def matcher_of(model: str) -> Matcher:
    """A CLIP's two towers as ``match`` wants them.

    Raises:
        TranhError: the model has no CLIP.
    """
    system = models.load(model)
    clip, tokenizer = getattr(system, "clip", None), getattr(system, "tokenizer", None)
    if clip is None or not isinstance(tokenizer, Tokenizer):
        raise TranhError(f"{model} has no CLIP; name a model with one, such as {models.DEFAULT}")
    side = int(clip.config["image_size"])
    device = next(clip.parameters()).device

    @torch.no_grad()
    def images(pictures: Sequence[Image.Image]) -> np.ndarray:
        pixels = np.stack([np.asarray(fit.square(picture, side)) for picture in pictures])
        found: np.ndarray = clip.embed_images(to_images(pixels).to(device)).cpu().numpy()
        return found

    @torch.no_grad()
    def texts(captions: Sequence[str]) -> np.ndarray:
        sound = [normalise.normalise(c.encode("utf-8", "replace").decode().replace("\0", " ")) for c in captions]
        tokens, mask = tokenizer.encode(sound, notice=lambda _: None)
        found: np.ndarray = clip.embed_texts(tokens.to(device), mask.to(device)).cpu().numpy()
        return found

    return matcher(images, texts, model)


def write(diagnosis: Diagnosis, title: str, out: Path) -> Path:
    """Write the report, and every single thing that was met beside it; gives the latter's path."""
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(page(diagnosis, title))
    listing = out.with_name(FINDINGS)
    about = {
        "format": 1,
        "source": {"path": title, "kind": diagnosis.opened.kind},
        "pictures": diagnosis.total,
        "looked_at": diagnosis.looked,
        "captions": diagnosis.tally.captions,
        "tokenizer": diagnosis.reading.name,
        "tokens_a_word": {
            language or "unknown": round(diagnosis.tally.tokens[language] / max(words, 1), 3)
            for language, words in diagnosis.tally.words.items()
        },
    }
    with replacing(listing) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(about, indent=1).removesuffix("\n}") + ',\n "findings": [')
        for number, finding in enumerate(diagnosis.findings):
            head = {"name": finding.name, "severity": finding.severity, "count": finding.count, "seen": finding.seen,
                    "remedy": finding.remedy}  # fmt: skip
            file.write((",\n" if number else "\n") + "  " + json.dumps(head).removesuffix("}") + ', "keys": [')
            for i, example in enumerate(diagnosis.all_examples(finding.name)):
                file.write((",\n" if i else "\n") + "   " + json.dumps({"key": example.key, "note": example.note}))
            file.write("]}")
        file.write("\n ]\n}\n")
    return listing
