"""Where a model looked for each word of a prompt: maps of its memory as a sheet, each word under its own.

It knows no family: any part that has an ``attention`` will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from PIL.Image import Image
from torch import Tensor

from tranh.engine.sheet import sheet
from tranh.recipes.system import System
from tranh.text.tokenizer import Tokenizer
from tranh.types import TranhError

COLUMNS = 8


@runtime_checkable
class Attends(Protocol):
    """A family that can show to what share each place of a picture read each word."""

    def attention(self, tokens: Tensor, mask: Tensor, seeds: Sequence[int]) -> list[Tensor]:
        """Shares (B, T, H, W) of every layer that reads words, from the first; at each place they sum to 1."""
        ...


def maps(system: System, prompt: str, seed: int = 0, layer: int = -1) -> Image:
    """The picture of a prompt, then the picture lit by where each word was read, with the words below.

    A word's map is bright where it was read most; how much that was, as a share of all that was read there, is said.

    Args:
        layer: which of the layers that read words; the last by default.

    Raises:
        TranhError: the system has no part that can show it, or no such layer.
    """
    able = [part for part in system.parts.values() if isinstance(part, Attends)]
    if not able:
        raise TranhError(f"{system.name} does not show where it reads words: it has no memory. dmgan has (tranh train)")
    text = system.understand(prompt).text
    tokens, mask = system.tokenizer.encode([text])
    with torch.no_grad(), system.computing():
        shares = able[-1].attention(tokens, mask, [seed])
        if not -len(shares) <= layer < len(shares):
            raise TranhError(f"layer {layer} was asked; there are {len(shares)}: 0 to {len(shares) - 1}")
        share = shares[layer][0].float()  # (T, H, W)
    picture = system.generate_batch([text], [seed])[0]  # (3, S, S)
    lit, captions = [picture], [text]
    for word, where in words_of(system.tokenizer, text):
        read = share[where].sum(0)
        lit.append(_lit(picture, read))
        captions.append(f"{word} {100 * float(read.max()):.0f} %")
    return sheet(torch.stack(lit), captions, columns=min(COLUMNS, len(lit)))


def words_of(tokenizer: Tokenizer, text: str) -> list[tuple[str, list[int]]]:
    """The words of a prompt and the places of their tokens in its row, counted from ``<bos>`` at 0."""
    found, at = [], 1
    for word in text.split():
        count = len(tokenizer.ids(word))
        found.append((word, list(range(at, at + count))))
        at += count
    return found


def _lit(picture: Tensor, read: Tensor) -> Tensor:
    """A picture (3, S, S), dark where ``read`` (H, W) is small, as it is where it is largest."""
    scale = (read - read.min()) / (read.max() - read.min()).clamp(min=1e-6)
    wide = F.interpolate(scale[None, None], size=picture.shape[-2:], mode="bilinear")[0]
    return (picture + 1) * (0.15 + 0.85 * wide) - 1
