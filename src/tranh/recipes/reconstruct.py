"""Any number of models that encode and decode, side by side: how like are their rebuilt pictures to the originals?

Two trivial baselines stand beside them: the mean picture, and PCA with as many numbers as each model keeps. It knows no
family: a model is whatever encodes and decodes, or has a part that does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tranh.edits.latent import able, rebuilt
from tranh.engine.sheet import sheet
from tranh.files import replacing, write_bytes, write_json
from tranh.metrics import psnr, sharpness, ssim
from tranh.metrics import report as pages
from tranh.metrics.measured import Measured
from tranh.metrics.report import Cell, Sample, Table
from tranh.nn.pixels import resized
from tranh.recipes import own
from tranh.recipes.judge import renders
from tranh.recipes.report import png
from tranh.types import Autoencodes, Event, TranhError

TILE = 32
LEARNED = 2048
"""Training pictures that the mean picture and PCA are taken of."""
SHOWN = 12
"""Pictures in the grid."""


@dataclass(frozen=True)
class Coder:
    """What encodes and decodes inside a model, and the side of its pictures."""

    name: str
    part: Autoencodes
    size: int

    def rebuild(self, images: Tensor) -> Tensor:
        """Pictures (N, 3, S, S) of any side through it and back at that side."""
        side = images.shape[-1]
        tiles = (rebuilt(self.part, resized(tile, self.size)) for tile in images.split(TILE))
        return torch.cat([resized(tile, side) for tile in tiles])

    def numbers(self, image: Tensor) -> int:
        """Numbers in the latent of a picture (1, 3, S, S)."""
        with torch.no_grad():
            return int(self.part.encode(resized(image, self.size)).numel())


def coder(model: Any, name: str) -> Coder:
    """What rebuilds pictures in a model: itself, or the last of its parts that can.

    Raises:
        TranhError: nothing in it can.
    """
    parts = [part for part in getattr(model, "parts", {}).values() if isinstance(part, Autoencodes)]
    if not isinstance(model, Autoencodes) and not parts:
        able(model, name)
    part = model if isinstance(model, Autoencodes) else parts[-1]
    config = getattr(part, "config", {})
    size = config.get("image_size") or getattr(model, "size", 0)
    if not size:
        raise TranhError(f"{name} does not say the side of its pictures: was it made by another version of Tranh?")
    return Coder(name, part, int(size))


class Pca:
    """Principal components of pictures: the best linear code of a size, by squared error.

    Args:
        images: (N, 3, S, S) it is learned from; numbers: components kept, at most N - 1.
    """

    def __init__(self, images: Tensor, numbers: int) -> None:
        rows = images.flatten(1)
        self.mean = rows.mean(0)
        self.numbers = min(numbers, len(rows) - 1, rows.shape[1])
        gram = (rows - self.mean) @ (rows - self.mean).T if len(rows) < rows.shape[1] else None
        if gram is None:
            _, vectors = torch.linalg.eigh((rows - self.mean).T @ (rows - self.mean))
            self.axes = vectors[:, -self.numbers :].T  # (K, D)
        else:
            _, vectors = torch.linalg.eigh(gram)
            self.axes = F.normalize(vectors[:, -self.numbers :].T @ (rows - self.mean), dim=1)

    def encode(self, images: Tensor) -> Tensor:
        return (images.flatten(1) - self.mean) @ self.axes.T

    def decode(self, latents: Tensor) -> Tensor:
        side = round((len(self.mean) / 3) ** 0.5)
        return (latents @ self.axes + self.mean).unflatten(1, (3, side, side))


def pictures(data: Mapping[str, Any], size: int, count: int) -> tuple[Tensor, Tensor]:
    """Training pictures for the baselines and held-out ones to rebuild, (N, 3, size, size) each."""
    if data["source"] == "scenes":
        level = next(iter(data.get("levels", {"one": 1.0})))
        learned = min(LEARNED, max(256, 4 * count))
        return renders(level, "train", range(learned), size), renders(level, "test", range(count), size)
    found = own.untold(data, size)
    train = found.prepared.of("train")[:LEARNED].tolist()
    return found.images(train), found.images(found.prepared.of("test")[:count].tolist())


def measures(made: Tensor, real: Tensor) -> list[Measured]:
    """PSNR, SSIM and sharpness difference; SSIM of pictures smaller than its window, of both enlarged."""
    times = -(-ssim.WINDOW // real.shape[-1])
    large = [x.repeat_interleave(times, 2).repeat_interleave(times, 3) for x in (made, real)]
    return [psnr.measure(made, real), ssim.measure(*large), sharpness.measure(made, real)]


def reconstruct(
    models: Mapping[str, Any], data: Mapping[str, Any], out: Path, *, count: int = 256, size: int | None = None
) -> Iterator[Event]:
    """Rebuild held-out pictures with every model and both baselines, and write the report.

    Args:
        models: name -> what was loaded.
        data: ``{"source": PATH}``, or Scenes with its level.
        out: gets ``report.json report.md report.html reconstruct.png``.
        size: side at which pictures are compared; the largest of the models' if None.

    Yields:
        Progress; the last event's ``result`` is what ``report.json`` holds.

    Raises:
        TranhError: a model cannot, or there are too few pictures.
    """
    coders = [coder(model, name) for name, model in models.items()]
    if data["source"] != "scenes":
        yield from (Event(e.stage, e.done, e.total, e.figures) for e in own.prepare(data))
    size = size or max(c.size for c in coders)
    learned, real = pictures(data, size, count)
    mean = learned.mean(0, keepdim=True)
    numbers = {c.name: c.numbers(real[:1]) for c in coders}
    ways: dict[str, tuple[int, Any]] = {"mean picture": (0, lambda x: mean.expand_as(x))}
    for kept in sorted(set(numbers.values())):
        pca = Pca(learned, kept)
        ways[f"PCA of {pca.numbers}"] = (pca.numbers, lambda x, pca=pca: rebuilt(pca, x))
    ways |= {c.name: (numbers[c.name], c.rebuild) for c in coders}
    made, rows = {}, {}
    for k, (name, (kept, way)) in enumerate(ways.items(), 1):
        made[name] = way(real)
        rows[name] = {"numbers": kept} | {m.name: m.json() for m in measures(made[name], real)}
        yield Event("rebuild", k, len(ways))
    value = {
        "protocol": {
            "data": str(data["source"]), "pictures": len(real), "size": size, "baselines learned from": len(learned),
            "SSIM": f"of pictures enlarged {-(-ssim.WINDOW // size)} times" if size < ssim.WINDOW else "as they are",
        },
        "models": {c.name: str(getattr(models[c.name], "hash", "unknown")) for c in coders},
        "rebuilt": rows,
    }  # fmt: skip
    _write(value, real, made, Path(out))
    yield Event("rebuild", len(ways), len(ways), result=value)


def _write(value: Mapping[str, Any], real: Tensor, made: Mapping[str, Tensor], out: Path) -> None:
    columns = ("PSNR", "SSIM", "sharpness difference")

    def cell(row: Mapping[str, Any], name: str) -> Cell:
        i = row[name]["interval"]
        return f"{i['value']:.3g} [{i['low']:.3g}, {i['high']:.3g}]"

    table = Table(
        "Rebuilt pictures against their originals",
        ("rebuilt by", "numbers kept", "PSNR, dB", "SSIM", "sharpness difference, dB"),
        [(name, row["numbers"], *(cell(row, c) for c in columns)) for name, row in value["rebuilt"].items()],
        "Higher is better everywhere; 95 % intervals over pictures. PSNR forgives blur, the sharpness difference does "
        "not. PCA is the best linear code with as many numbers as a model keeps.",
    )
    few = min(SHOWN, len(real))
    shown = [
        Sample(f"picture {k}", [("original", png(real[k])), *((n, png(x[k])) for n, x in made.items())], None)
        for k in range(few)
    ]
    about: dict[str, Cell] = {**value["protocol"], **{f"hash of {n}": h[:16] for n, h in value["models"].items()}}
    page = pages.Report(
        "Reconstruction side by side", about, [table], samples=shown, samples_note="The first, not chosen."
    )
    write_json(out / "report.json", value)
    write_bytes(out / "report.md", pages.markdown(page).encode())
    write_bytes(out / "report.html", pages.html(page).encode())
    picture = torch.cat([real[:few], *(x[:few] for x in made.values())])
    names = [name for name in ("original", *made) for _ in range(few)]
    with replacing(out / "reconstruct.png") as temporary:
        sheet(picture, names, columns=few, side=64 if real.shape[-1] <= 64 else 128).save(temporary, "PNG")
