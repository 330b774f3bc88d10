"""The guard against copying: what a model was trained on, in a few hundred bytes a picture, travels with the model.

It knows how pictures are told apart (look, hash, features) and what a near copy is; neither a data set nor a system.
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np
import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from tranh.data.doubles import print_of
from tranh.metrics import look as looks
from tranh.metrics import memory as near
from tranh.metrics.memory import Limit, Nearest, TooFew
from tranh.metrics.network import Network
from tranh.nn.pixels import to_images, to_pixels
from tranh.types import Event, TranhError

MEMORY = "memory.safetensors"
"""The asset of a run and of an exported model that holds the index."""

FORMAT = 1
MOST = 50_000
"""Training pictures an index holds: 34 MB with features of 448 numbers; half a second to ask about one."""
LEAST = 2 * near.LEAST
"""Training pictures below which there is no index: half of them set the limit."""
WITNESSES, TRIED = 1000, 100
"""Training pictures that set the limit, and those that are altered to see whether their copies are found."""
TILE = 64
DOUBLE = 0.02
"""A training picture nearer than this to another is there twice: it cannot tell how near strangers come."""

Batches = Iterable[tuple[Sequence[str], Tensor]]
"""Keys of pictures, and the pictures (B, 3, H, W) in [-1, 1]."""


def _compressed(images: Tensor) -> Tensor:
    out = []
    for pixels in to_pixels(images):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=30)
        out.append(np.asarray(Image.open(file).convert("RGB")))
    return to_images(np.stack(out))


def _noisy(images: Tensor) -> Tensor:
    return images + 0.1 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))


ALTERED: dict[str, Callable[[Tensor], Tensor]] = {
    "as it is": lambda x: x,
    "noise": _noisy,
    "JPEG 30": _compressed,
    "blur": lambda x: F.interpolate(
        F.interpolate(x, scale_factor=0.25, mode="area"), size=x.shape[-2:], mode="bilinear"
    ),
    "mirror": lambda x: x.flip(-1),
    "brighter": lambda x: (x + 1) * 1.2 - 1,
    "darker": lambda x: (x + 1) * 0.8 - 1,
    "shift": lambda x: F.pad(x, (3, 0, 3, 0), mode="replicate")[..., : x.shape[-2], : x.shape[-1]],
    "crop": lambda x: looks.resized(x[..., 3:-3, 3:-3], x.shape[-1]),
}
"""What may be done to pictures of 64 px before a guard is asked whether they are copies."""


@dataclass(frozen=True)
class Check:
    """What the guard says of one picture.

    Attributes:
        nearest: key of the nearest training picture.
        distance: of the two looks, 0 to 2.
        ratio: the distance over that of the next neighbours; a near copy is below ``limit``.
    """

    nearest: str
    distance: float
    ratio: float
    limit: float

    @property
    def is_copy(self) -> bool:
        return self.ratio < self.limit


@dataclass(frozen=True)
class Memory:
    """The index of the training pictures.

    Attributes:
        keys: N names of pictures.
        looks: (N, 192) uint8, what is compared; signs: (N, 8) uint8, the perceptual hash.
        features: (N, D) int8, unit vectors times 127, for reports; D is 0 without a network.
        network: name and hash of the network of the features.
        limit: below which ratio a picture is a near copy.
        caught: share of altered training pictures that are found, by what was done to them.
        more: there were more training pictures than the index holds.
    """

    keys: Sequence[str]
    looks: Tensor
    signs: Tensor
    features: Tensor
    network: tuple[str, str] | None
    limit: Limit
    caught: dict[str, float]
    more: bool = False

    @cached_property
    def compared(self) -> Tensor:
        """(N, 192) the looks as they are compared."""
        return looks.compared(self.looks)

    def look_up(self, images: Tensor) -> Nearest:
        """The nearest training pictures of (B, 3, H, W), by look."""
        return joined(near.nearest(looks.views(tile), self.compared) for tile in images.split(TILE))

    def check(self, image: Image.Image) -> Check:
        """Is this picture a near copy of a training picture?"""
        found = self.look_up(to_images(np.array(image.convert("RGB"))[None]))
        key, distance = self.keys[int(found.row[0, 0])], float(found.distance[0, 0])
        return Check(key, round(distance, 4), round(float(found.ratio[0]), 4), self.limit.value)

    def save(self) -> bytes:
        """The content of :data:`MEMORY`; the same index gives the same bytes."""
        about = {
            "format": FORMAT,
            "keys": list(self.keys),
            "network": self.network,
            "limit": asdict(self.limit),
            "caught": self.caught,
            "more": self.more,
        }
        text = torch.frombuffer(bytearray(json.dumps(about, ensure_ascii=False).encode()), dtype=torch.uint8)
        tensors = {"looks": self.looks, "signs": self.signs, "features": self.features, "about": text}
        return safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()})

    @staticmethod
    def load(content: bytes) -> Memory:
        """The index in a file that :meth:`save` made.

        Raises:
            TranhError: it is damaged or of another version.
        """
        try:
            tensors = safetensors.torch.load(content)
            about = json.loads(bytes(tensors["about"].numpy()))
            if about["format"] != FORMAT:
                raise ValueError(f"format {about['format']}")
            keys, n = [str(key) for key in about["keys"]], len(about["keys"])
            shapes = {"looks": (n, looks.SIZE), "signs": (n, 8), "features": (n, tensors["features"].shape[-1])}
            kinds = {"looks": torch.uint8, "signs": torch.uint8, "features": torch.int8}
            for name, shape in shapes.items():
                if tensors[name].shape != shape or tensors[name].dtype != kinds[name]:
                    raise ValueError(f"{name} has shape {list(tensors[name].shape)}")
            network = (str(about["network"][0]), str(about["network"][1])) if about["network"] else None
            told = about["limit"]
            limit = Limit(float(told["value"]), float(told["alarm"]), int(told["count"]))
            caught = {str(name): float(share) for name, share in about["caught"].items()}
            kept = [tensors[name] for name in shapes]
            return Memory(keys, kept[0], kept[1], kept[2], network, limit, caught, bool(about["more"]))
        except (safetensors.SafetensorError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise TranhError(
                f"{MEMORY} is no index of training pictures this version reads ({error}): export again."
            ) from error


def joined(parts: Iterable[Nearest]) -> Nearest:
    """The answers to several tiles of queries as one."""
    found = list(parts)
    return Nearest(torch.cat([p.distance for p in found]), torch.cat([p.row for p in found]))


def signs_of(images: Tensor) -> Tensor:
    """Perceptual hashes (B, 8) uint8 of pictures (B, 3, H, W)."""
    prints = [print_of(Image.fromarray(pixels), "").signs for pixels in to_pixels(images)]
    return torch.tensor([list(signs.to_bytes(8, "big")) for signs in prints], dtype=torch.uint8)


def features_of(images: Tensor, network: Network | None) -> Tensor:
    """(B, D) int8: unit vectors times 127; D is 0 without a network."""
    if network is None:
        return torch.zeros(len(images), 0, dtype=torch.int8)
    return F.normalize(network.features(images), dim=1).mul(127).round().to(torch.int8)


def build(batches: Batches, *, network: Network | None = None, most: int = MOST, seed: int = 0) -> Memory:
    """The index that :func:`building` ends with."""
    *_, last = building(batches, network=network, most=most, seed=seed)
    made: Memory = last.result
    return made


def building(
    batches: Batches, *, network: Network | None = None, most: int = MOST, seed: int = 0, total: int = MOST
) -> Iterator[Event]:
    """Make the index of training pictures, and the limit of what is a near copy of one.

    The limit comes from the training pictures themselves: 1000 of them, or half, are strangers to the others. (Ratios
    of distances hardly depend on how many pictures there are to be near to.)

    Args:
        batches: every training picture once, in an order that does not matter; only the first ``most`` are kept.
        network: whose features are kept for reports (15 ms a picture with the verifier); none are if None.
        total: pictures expected, for the progress.

    Yields:
        Progress; the last event's ``result`` is the :class:`Memory`.

    Raises:
        TooFew: fewer than 40 pictures, or too few that are there once.
        TranhError: a key comes twice.
    """
    keys: list[str] = []
    kept: list[tuple[Tensor, Tensor, Tensor]] = []
    witnesses: list[tuple[int, Tensor]] = []  # rows and pictures, each picture as likely (reservoir sampling)
    dice, more = random.Random(seed), False
    for names, images in batches:
        room = most - len(keys)
        more = len(names) > room
        small = looks.resized(images[:room].float())
        for row, picture in enumerate(small, len(keys)):
            place = row if row < WITNESSES else dice.randrange(row + 1)
            if place < WITNESSES:
                witnesses[place : place + 1] = [(row, picture)]
        kept.append((looks.look(small), signs_of(images[:room]), features_of(small, network)))
        keys += map(str, names[:room])
        yield Event("index", min(len(keys), total), total)
        if more:
            break
    if len(keys) < LEAST:
        raise TooFew(f"{len(keys)} training pictures are too few to tell a copy; at least {LEAST} are needed.")
    if len(set(keys)) != len(keys):
        raise TranhError("two training pictures have the same key; a key names one picture.")
    seen, signs, features = (torch.cat(column) for column in zip(*kept, strict=True))
    named = (network.name, network.hash) if network is not None else None
    memory = Memory(keys, seen, signs, features, named, Limit(0.0, 0.0, 0), {}, more)
    dice.shuffle(witnesses)
    witnesses = witnesses[: len(keys) // 2]
    memory = _limited(memory, torch.tensor([row for row, _ in witnesses]), torch.stack([p for _, p in witnesses]))
    yield Event("index", total, total, result=memory)


def _limited(memory: Memory, rows: Tensor, images: Tensor) -> Memory:
    """The index with its limit, and what it catches with it."""
    others = torch.ones(len(memory.keys), dtype=torch.bool).index_fill(0, rows, False)
    rest = memory.compared[others]
    strangers = joined(near.nearest(looks.views(tile), rest) for tile in images.split(TILE))
    ratios = strangers.ratio[strangers.distance[:, 0] > DOUBLE]
    if len(ratios) < near.LEAST:
        raise TooFew(
            f"{len(images) - len(ratios)} of {len(images)} training pictures are there twice; at least {near.LEAST} "
            "others are needed to tell a copy: remove the doubles (tranh data prepare does)."
        )
    memory = replace(memory, limit=near.limit(ratios))
    caught = {}
    for name, alter in ALTERED.items():
        found = memory.look_up(alter(images[:TRIED]).clamp(-1, 1))
        caught[name] = round(float((found.ratio < memory.limit.value).float().mean()), 4)
    return replace(memory, caught=caught)
