"""Teaching a model a new subject from 3 to 10 pictures: its name's own vectors, and a LoRA beside the network.

``families.subject`` is what learns, the one loop trains it. A model of Scenes sees the subject put, by pixels, into its
own pictures of other captions: so it learns it in every place, beside what it draws itself anyway (prior preservation).
It does not know how a folder of diffusers is taught: that is in ``recipes.personalise_stable``.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tranh.data.scenes.source import cache_dir
from tranh.diffusion import loss, schedule
from tranh.engine import fit
from tranh.engine.find import build
from tranh.engine.frozen import Frozen
from tranh.engine.rundir import RunDir
from tranh.engine.source import Source
from tranh.engine.train import train
from tranh.families.decoder import Decoder
from tranh.files import read_tensors, write_tensors
from tranh.nn.lora import linear_layers
from tranh.nn.pixels import to_images, to_pixels
from tranh.recipes.foreign import Foreign
from tranh.recipes.shelf import TRAINING, shelf
from tranh.recipes.subject_pictures import Lessons, Shown, read_folder
from tranh.recipes.subject_scenes import Place, places
from tranh.recipes.subjects import Subject, base_hash, decoder_of, save
from tranh.text.subjects import NamingTokenizer, checked_name
from tranh.text.words import WORD
from tranh.types import Batch, Event, Family, Phase, Stage, TranhError

STEPS, RANK, VECTORS = 700, 16, 4
LAYERS = ("img_qkv_proj", "txt_kv_proj", "to_out.0", "gate_proj", "up_proj", "down_proj")
"""Layers of every block of the decoder that a LoRA stands beside: attention, and the perceptron after it."""
MINUTES = 10.0
BESIDE, AT_ONCE = 96, 16
"""Places beside other things, and pictures drawn at once."""


@dataclass(frozen=True)
class Estimate:
    """What it takes, measured on this machine before it begins: seconds and bytes. ``cuts`` are the pictures whose
    subject could be told from its ground."""

    name: str
    base: str
    pictures: int
    cuts: int
    steps: int
    seconds: float
    memory: int
    folder: Path

    def __str__(self) -> str:
        found = f"told from its ground in {self.cuts}" if self.cuts else "told from its ground in none"
        return (
            f"teaching {self.base} <{self.name}> from {self.pictures} pictures ({found}): {self.steps} steps, about "
            f"{self.seconds / 60:.1f} minutes and {self.memory / 2**30:.1f} GiB of memory; kept in {self.folder}"
        )


@dataclass(frozen=True)
class Ground:
    """What a subject is learned beside.

    Attributes:
        base: the frozen model, whose loss is lowered.
        stage: how; its model says which layers and vectors.
        begin: gives the vectors their first values.
        trial: batches like those of the training, to measure by.
        lessons: progress, then the batches as the last event's result.
        before: seconds that ``lessons`` takes.
        cuts: pictures whose subject could be told from its ground.
    """

    base: Frozen
    stage: Stage
    begin: Callable[[Tensor], None]
    trial: Source
    lessons: Callable[[], Iterator[Event]]
    before: Callable[[], float]
    cuts: int


class Told(Family):
    """The decoder's own loss, told by the caption alone, with the weights of the pixels."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder, self.config = decoder, {}

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        decoder, x0 = self.decoder, batch.images
        t = schedule.logit_normal(len(batch), decoder.time_mean, decoder.time_std, generator=phase.generator)
        eps = torch.randn(x0.shape, generator=phase.generator, device=phase.generator.device).to(x0)
        t, root = t.to(x0.device), batch.labels["weight"].sqrt()
        estimate = decoder.denoise(loss.corrupt(x0, eps, t), t, *decoder.context(batch.tokens, batch.mask, None))
        return {"loss": loss.velocity_loss(root * estimate, root * x0, t).mean()}


def personalise(
    system: Any,
    name: str,
    folder: Path,
    *,
    place: Path | None = None,
    steps: int | None = None,
    minutes: float = MINUTES,
    seed: int = 0,
    again: bool = False,
) -> Iterator[Event]:
    """Teach a system a subject. The same call goes on where it was stopped; nothing is on the shelf before the end.

    Args:
        place: the shelf, see :func:`tranh.recipes.subjects.shelf`.
        steps: of training; if None, as many as the recipe says, or fewer where those do not fit into ``minutes``.
        again: replace a subject of this name.

    Yields:
        Progress. The result of one event, before anything takes long, is the :class:`Estimate`; that of the last is the
        folder of the subject.

    Raises:
        TranhError: whatever can be known before: the name, the pictures, the system.
    """
    place = shelf(place)
    if not isinstance(system, Foreign):
        decoder_of(system)
    name = checked_name(name, getattr(system, "words", None))
    if (place / name).exists() and not again:
        raise TranhError(
            f"there is a subject {name!r} in {place} already: choose another name, or replace it (--again)"
        )
    if steps is not None and not 1 <= steps <= 100_000:
        raise TranhError(f"steps is {steps}; allowed: 1 to 100000")
    if not minutes > 0:
        raise TranhError(f"minutes is {minutes:g}; give a positive number")
    shown = read_folder(Path(folder), name)
    ground = _stable(system, name, shown) if isinstance(system, Foreign) else of_decoder(system, name, shown)
    run = RunDir(place / f"{name}{TRAINING}")
    seen = hashlib.sha256(b"".join(one.image.numpy().tobytes() + repr(one.captions).encode() for one in shown))
    data = {"source": str(folder), "hash": seen.hexdigest()[:16]}
    stage = replace(ground.stage, steps=steps or ground.stage.steps, data=data, seed=seed)
    family: Any = build(stage)
    family.meet({"base": ground.base.family})
    ground.begin(family.vectors)
    parents, cost = {"base": ground.base}, None
    for event in fit.measure(stage, family, ground.trial, parents=parents, least=2):
        cost = event.result
        yield Event("measure", event.done, event.total, event.figures)
    assert cost is not None
    before = ground.before()
    if run.recipe_file.exists():
        stage = replace(stage, steps=run.stage().steps)  # fixed when it began
    elif steps is None:
        stage = replace(stage, steps=min(stage.steps, cost.steps(stage, max(60.0, 60 * minutes - before))))
    seconds = before + cost.seconds(stage)
    told = Estimate(name, system.name, len(shown), ground.cuts, stage.steps, seconds, cost.peak, place / name)
    yield Event("measure", 1, 1, result=told)
    lessons: Any = None
    for event in ground.lessons():
        lessons = event.result
        yield replace(event, result=None)
    for event in train(stage, family, lessons, run, name=name, parents=parents):
        yield replace(event, result=None)
        if event.result is None or not event.result.finished:
            continue
        base = {"name": system.name, "hash": ground.base.hash}
        card = {"name": name, "base": base, "alpha": family.lora.alpha, "pictures": len(shown), "steps": stage.steps}
        kept = save(place, Subject(name, family.vectors.detach(), family.lora, card))
        shutil.rmtree(run.path, ignore_errors=True)
        yield Event(name, stage.steps, stage.steps, result=kept)


def of_decoder(system: Any, name: str, shown: list[Shown]) -> Ground:
    """A hierarchy, or its decoder alone, as ground."""
    decoder, size = decoder_of(system), decoder_of(system).image_size
    first = len(system.tokenizer)
    tokenizer = NamingTokenizer(system.tokenizer, {name: range(first, first + VECTORS)})
    around = places(BESIDE) if knows_scenes(system) else []
    stage = Stage(
        "subject",
        model={
            "network": "decoder.unet", "layers": linear_layers(decoder.unet, LAYERS),
            "embedding": "decoder.text.tokens", "vocab": first, "dim": decoder.config["text_dim"],
            "vectors": VECTORS, "rank": RANK, "alpha": float(RANK),
        },
        steps=STEPS, batch=32, lr=4e-3, warmup=20, decay=0.5, ema=(), sample_every=10**6, save_every=100,
    )  # fmt: skip

    def begin(vectors: Tensor) -> None:
        """Near what the model's words are."""
        words = decoder.text.tokens.weight.detach()[4:]
        with torch.no_grad():
            vectors.mul_(words.std() / vectors.std() / 2).add_(words.mean(0))

    def lessons() -> Iterator[Event]:
        drawn = torch.zeros(0, 3, size, size)
        for event in own_pictures(system, around):
            drawn = event.result if event.result is not None else drawn
            yield replace(event, result=None)
        yield Event("draw", 1, 1, result=Lessons(name, shown, drawn, around, tokenizer, size))

    # Pictures of noise stand in for the model's own, which are drawn later.
    trial = Lessons(name, shown, torch.randn(len(around), 3, size, size), around, tokenizer, size)
    base = Frozen(Told(decoder), base_hash(system), "bf16")
    return Ground(base, stage, begin, trial, lessons, lambda: drawing_seconds(system, around), len(trial.cuts))


def knows_scenes(system: Any) -> bool:
    """Whether a model knows the words of Scenes: else it cannot be asked for pictures that a subject is put into."""
    return all(word in system.words for asked in map(Place.asked, places(8)) for word in WORD.findall(" ".join(asked)))


def own_pictures(system: Any, around: list[Place]) -> Iterator[Event]:
    """The model's own pictures of some places, kept for the next subject; the last event's result is (N, 3, S, S)."""
    if not around:
        return
    asked = [place.asked() for place in around]
    captions = [caption for one in asked for caption in one]
    file = _own_file(system, captions)
    if not file.exists():
        drawn = []
        for start in range(0, len(captions), AT_ONCE):
            part = captions[start : start + AT_ONCE]
            seeds = range(start, start + len(part))
            drawn.append(system.generate_batch(part, seeds, system.decoder.image_size, prior="none"))
            yield Event("draw", start + len(part), len(captions))
        # What most pictures of a place have in common is the place.
        each = torch.cat(drawn).split([len(one) for one in asked])
        merged = torch.stack([pictures.median(0).values for pictures in each])
        write_tensors(file, {"images": torch.from_numpy(to_pixels(merged))})
    yield Event("draw", len(captions), len(captions), result=to_images(read_tensors(file)["images"].numpy()))


def _own_file(system: Any, captions: list[str]) -> Path:
    key = hashlib.sha256("\n".join([base_hash(system), *captions]).encode()).hexdigest()[:24]
    return cache_dir() / f"own-{key}.safetensors"


def drawing_seconds(system: Any, around: list[Place]) -> float:
    """What :func:`own_pictures` will take, by the time of one step."""
    if not around:
        return 0.0
    captions = [caption for place in around for caption in place.asked()]
    if _own_file(system, captions).exists():
        return 0.0
    some = captions[-AT_ONCE:]
    begun = time.perf_counter()
    system.generate_batch(some, range(len(some)), system.decoder.image_size, 1, prior="none")
    return (time.perf_counter() - begun) * float(system.card["steps"]) * len(captions) / len(some)


def _stable(system: Foreign, name: str, shown: list[Shown]) -> Ground:
    from tranh.recipes.personalise_stable import of_pipeline  # which stands on this module

    return of_pipeline(system, name, shown)
