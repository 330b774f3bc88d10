"""A module's tensors by name, each once, and back: the form in which weights lie on disk.

It knows nothing of files. Tensors that share memory (tied embeddings) are kept under their first name only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tranh.types import TranhError


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, not copied; of those sharing memory only the first.

    Raises:
        TranhError: a submodule keeps state that is no tensor; it could not be saved without a pickle.
    """
    seen: set[tuple[int, torch.Size, tuple[int, ...]]] = set()
    result: dict[str, Tensor] = {}
    for name, tensor in module.state_dict().items():
        if not isinstance(tensor, Tensor):
            raise TranhError(f"{name} of {type(module).__name__} is no tensor and cannot be saved: make it a buffer.")
        key = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() and key in seen:
            continue
        seen.add(key)
        result[name] = tensor.detach()
    return result


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Names weights by their values, as float32, whatever file or dtype they were kept in: 16 hex digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Copy tensors into a module in place (so ties and optimisers stay valid); dtypes are converted.

    Args:
        origin: where the tensors come from, for the message.

    Raises:
        TranhError: names or shapes differ.
    """
    own = tensors_of(module)
    missing, unknown = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    shapes = [
        f"{k} {list(tensors[k].shape)} for {list(own[k].shape)}"
        for k in own
        if k in tensors and tensors[k].shape != own[k].shape
    ]
    if missing or unknown or shapes:
        found = [
            f"{word}: {', '.join(names[:4])}{f' and {len(names) - 4} more' if len(names) > 4 else ''}"
            for word, names in (("missing", missing), ("unknown", unknown), ("of another shape", shapes))
            if names
        ]
        raise TranhError(
            f"{origin} does not fit {type(module).__name__} ({'; '.join(found)}). "
            "Build it with the configuration it was trained with."
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
