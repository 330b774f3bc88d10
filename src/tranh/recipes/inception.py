"""The Inception network of FID, KID and IS, from the weights that others publish: converted once, then safetensors.

It knows one file by its hash. Weights of any other file are used too, but no number they give is called FID.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tranh.engine.weights import fingerprint, load_tensors
from tranh.files import read_metadata, read_tensors, sha256, write_tensors
from tranh.metrics.network import INCEPTION, Network
from tranh.nn.inception import Inception
from tranh.nn.pixels import to_pixels
from tranh.types import TranhError

PUBLISHED = "6726825d"
"""Begins the sha256 of ``pt_inception-2015-12-05-6726825d.pth``, the file that pytorch-fid and torch-fidelity use."""

LARGEST = 2**28  # bytes; the published file has 96 million
BATCH = 16
RESIZE = "rounded to 8 bits, then bilinear to 299 px as TensorFlow 1 did it (no antialiasing), (x - 128) / 128"
UNCOUNTED = ".num_batches_tracked"
"""A counter that newer batch norms keep and frozen ones do not need."""


def convert(source: Path, out: Path) -> dict[str, str]:
    """Turn the published ``.pth`` into safetensors, once; what it was made from is written into its header.

    This is the one place where a file of torch's own format is opened, by its loader of tensors alone, which executes
    nothing.

    Returns:
        The header: ``source_sha256``, ``weights`` (fingerprint), and ``published``, ``yes`` or ``no``.

    Raises:
        TranhError: the file is missing, too large, holds more than tensors, or the weights do not fit.
    """
    tensors = _opened(source)
    load_tensors(Inception(), tensors, str(source))  # refuses what does not fit
    digest = sha256(source)
    header = {
        "source_sha256": digest,
        "weights": fingerprint(tensors),
        "published": "yes" if digest.startswith(PUBLISHED) else "no",
    }
    write_tensors(out, tensors, header)
    return header


def load(path: Path) -> Network:
    """The network of a converted file: ``inception`` if its source was the published one, ``inception-HASH`` if not.

    Raises:
        TranhError: the file is missing or no safetensors, the weights do not fit, or they are not those that were
            converted.
    """
    tensors, header = read_tensors(path), read_metadata(path)
    module = Inception().eval().requires_grad_(False)
    load_tensors(module, tensors, str(path))
    weights = fingerprint(tensors)
    if header.get("weights", weights) != weights:
        raise TranhError(f"{path} was changed after it was converted. Convert the published file again.")
    known = header.get("published") == "yes"
    origin = f"converted from a file with sha256 {header['source_sha256'][:16]}" if "source_sha256" in header else ""
    told = f"{origin}, the published one" if known else f"{origin or 'of unknown origin'}, not the published one"
    return Network(
        INCEPTION if known else f"{INCEPTION}-{weights[:8]}",
        weights,
        RESIZE,
        _tiled(lambda images: module(images)[0]),
        _tiled(lambda images: module(images)[1].softmax(1)),
        told,
    )


def _opened(source: Path) -> dict[str, Tensor]:
    try:
        size = source.stat().st_size
        if size > LARGEST:
            raise TranhError(f"{source} has {size} bytes; the published weights have 96 million. Is it the right file?")
        found: Any = torch.load(source, map_location="cpu", weights_only=True)
    except OSError as error:
        raise TranhError(f"{source} cannot be read ({error.strerror}).") from error
    except TranhError:
        raise
    except Exception as error:  # the loader raises whatever its unpickler met
        raise TranhError(
            f"{source} is not a file of tensors ({type(error).__name__}). Give the published "
            f"pt_inception-2015-12-05-{PUBLISHED}.pth."
        ) from error
    if not isinstance(found, Mapping) or not all(isinstance(v, Tensor) for v in found.values()):
        raise TranhError(f"{source} holds more than tensors by name. Give the published Inception weights.")
    return {str(k): v for k, v in found.items() if not str(k).endswith(UNCOUNTED)}


def _tiled(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A function of pictures as bytes, a few at a time, its rows on the CPU."""

    @torch.no_grad()
    def run(images: Tensor) -> Tensor:
        pixels = torch.from_numpy(to_pixels(images)).permute(0, 3, 1, 2)  # (B, 3, H, W) uint8
        return torch.cat([function(tile).float().cpu() for tile in pixels.split(BATCH)])

    return run
