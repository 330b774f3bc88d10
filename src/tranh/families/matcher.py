"""The matcher: whether a caption is a picture's own, learned by towers unlike CLIP's: convolutions and a bag of words.

It judges pictures that CLIP conditioned, so it shares nothing with CLIP but the question. It has no attention: a word
is seen with its neighbours and with where it stands, so what words far apart say together is mostly lost on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.nn.conv import ChannelNorm, Conv3, Residual
from tranh.nn.pixels import resized
from tranh.types import Batch, Family, ParamGroup, Phase

DECAY = 0.1
"""Weight decay of matrices and embeddings: few pictures are soon learned by heart."""

SHIFT, LIGHT, NOISE, HOLE = 1 / 16, 0.08, 0.03, 1 / 4
"""Augmentation: most shift as a share of the side, most change of brightness and contrast, standard deviation of noise,
and the side of the square that is covered in half of the pictures. No mirroring: captions speak of left and right; no
change of hue: they speak of colours."""

FORGET = 0.1
"""Share of tokens left out in training."""


class _Words(nn.Module):
    """A token with its neighbours: norm, a matrix over ``2 reach + 1`` tokens, GELU, a matrix, added to the token."""

    def __init__(self, width: int, reach: int = 2) -> None:
        super().__init__()
        self.reach, self.norm = reach, nn.LayerNorm(width)
        self.gather, self.mix = nn.Linear((2 * reach + 1) * width, width), nn.Linear(width, width)
        nn.init.zeros_(self.mix.weight)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        T = x.shape[1]
        padded = F.pad(self.norm(x) * mask[..., None], (0, 0, self.reach, self.reach))  # padding says nothing
        around = torch.cat([padded[:, k : k + T] for k in range(2 * self.reach + 1)], dim=-1)  # (B, T, 5 W)
        return x + self.mix(F.gelu(self.gather(around)))


class _Deepen(nn.Module):
    """Norm and two matrices with a GELU between them, added to what came in; the second starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        nn.init.zeros_(self.down.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.gelu(self.up(self.norm(x))))


class Matcher(Family):
    """Two towers, two projections and a learned temperature; symmetric cross-entropy in which doubles are no negatives.

    Args:
        vocab, max_len: of the tokenizer.
        image_size: side that pictures of any size are brought to, a multiple of 8.
        dim: size of the shared space.
        widths: channels at 1/2, 1/4 and 1/8 of the side; depths: residual blocks on each.
        text_width, text_depth: of the bag of words, and layers in which a token sees its neighbours.
        drop: share of pooled features left out in training.
        smoothing: share of the target spread over the whole batch in training.
        augment: strength of the augmentation in training, 0 for none.
    """

    overfit_below: ClassVar[float] = 0.2

    def __init__(
        self,
        *,
        vocab: int,
        max_len: int = 128,
        image_size: int = 64,
        dim: int = 128,
        widths: Sequence[int] = (32, 64, 128),
        depths: Sequence[int] = (0, 2, 2),
        text_width: int = 160,
        text_depth: int = 2,
        drop: float = 0.1,
        smoothing: float = 0.05,
        augment: float = 1.0,
    ) -> None:
        super().__init__()
        self.config = {
            "vocab": vocab, "max_len": max_len, "image_size": image_size, "dim": dim, "widths": list(widths),
            "depths": list(depths), "text_width": text_width, "text_depth": text_depth, "drop": drop,
            "smoothing": smoothing, "augment": augment,
        }  # fmt: skip
        if image_size < 16 or image_size % 8:
            raise ValueError(f"image_size={image_size}: it must be a multiple of 8, 16 at least")
        self.image_size, self.drop, self.smoothing, self.augment = image_size, drop, smoothing, augment
        a, b, c = widths
        self.stem = nn.Conv2d(12, a, 3, padding=1)
        self.fine = nn.Sequential(*(Residual(a) for _ in range(depths[0])))
        self.down_b = nn.Conv2d(4 * a, b, 1)
        self.middle = nn.Sequential(*(Residual(b) for _ in range(depths[1])))
        self.down_c = nn.Conv2d(4 * b, c, 1)
        # Pooling forgets where things are, captions do not: every place gets a mark of its own before.
        self.places = nn.Parameter(0.02 * torch.randn(c, image_size // 8, image_size // 8))
        self.coarse = nn.Sequential(*(Residual(c) for _ in range(depths[2])), ChannelNorm(c))
        self.picture = nn.Sequential(_Deepen(2 * c), nn.LayerNorm(2 * c))
        self.picture_projection = nn.Linear(2 * c, dim, bias=False)
        self.tokens = nn.Embedding(vocab, text_width)
        self.positions = nn.Parameter(0.02 * torch.randn(max_len, text_width))
        self.words = nn.ModuleList(_Words(text_width) for _ in range(text_depth))
        self.caption = nn.Sequential(
            nn.LayerNorm(2 * text_width), _Deepen(2 * text_width), nn.LayerNorm(2 * text_width)
        )
        self.caption_projection = nn.Linear(2 * text_width, dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        nn.init.normal_(self.tokens.weight, std=0.3)

    def embed_images(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] of any size -> (B, D), unit length."""
        return self._images(resized(images, self.image_size))

    def embed_texts(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(B, T) -> (B, D), unit length."""
        x = self.tokens(tokens) + self.positions[: tokens.shape[1]]  # (B, T, W)
        for layer in self.words:
            x = layer(x, mask)
        x, real = x.float(), mask[..., None]
        mean = (x * real).sum(1) / real.sum(1).clamp(min=1)
        most = x.masked_fill(~real, -1e4).amax(1)
        pooled = self._dropped(self.caption(torch.cat([mean, most], dim=-1)))  # (B, 2 W)
        return F.normalize(self.caption_projection(pooled).float(), dim=-1)

    def _images(self, images: Tensor) -> Tensor:
        x = F.pixel_unshuffle(images, 2).contiguous(memory_format=torch.channels_last)  # (B, 12, S/2, S/2)
        x = self.fine(self.stem(x))
        x = self.middle(self.down_b(F.pixel_unshuffle(x, 2)))  # (B, b, S/4, S/4)
        x = self.coarse(self.down_c(F.pixel_unshuffle(x, 2)) + self.places)  # (B, c, S/8, S/8)
        pooled = self._dropped(self.picture(torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1).float()))  # (B, 2 c)
        return F.normalize(self.picture_projection(pooled).float(), dim=-1)

    def _dropped(self, features: Tensor) -> Tensor:
        return F.dropout(features, self.drop, self.training)

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        images, mask = resized(batch.images, self.image_size), batch.mask
        if self.training:
            images = augmented(images, phase.generator, self.augment)
            mask = thinned(mask, phase.generator)
        image, text = self._images(images), self.embed_texts(batch.tokens, mask)
        scale = self.logit_scale.float().clamp(max=math.log(100.0)).exp()
        logits = scale * image @ text.T  # (B, B), picture i against caption j
        true = belongs(batch.ids, batch.tokens, batch.mask)
        smoothing = self.smoothing if self.training else 0.0
        loss = (divergence(logits, true, smoothing) + divergence(logits.T, true.T, smoothing)) / 2
        right = true.gather(1, logits.argmax(1, keepdim=True)).float().mean()
        return {"loss": loss, "right": right.detach(), "temperature": 1 / scale.detach()}

    def param_groups(self, phase: str) -> list[ParamGroup]:
        blocks = [m for m in self.modules() if isinstance(m, (Conv3, _Words, _Deepen))]
        kernels = [p for block in blocks for p in block.parameters() if p.ndim == 2]
        ends = (self.tokens, self.picture_projection, self.caption_projection)
        tables = [p for end in ends for p in end.parameters()]
        chosen = {id(p) for p in (*kernels, *tables)}
        return [
            ParamGroup(kernels, "muon", weight_decay=DECAY),
            ParamGroup(tables, weight_decay=DECAY),
            ParamGroup([p for p in self.parameters() if id(p) not in chosen]),
        ]


def belongs(ids: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
    """Which captions of a batch are known to be true of which pictures, bool (B, B), picture by caption.

    A caption is true of a picture if the batch shows the two together: the same picture may come with several captions,
    and the same words with several pictures.

    Args:
        ids: (B,) of the pictures; tokens, mask: (B, T).
    """
    same_picture = ids[:, None] == ids[None]
    words = tokens.masked_fill(~mask, -1)
    same_words = (words[:, None] == words[None]).all(-1)
    return (same_picture.float() @ same_words.float()) > 0


def divergence(logits: Tensor, true: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean Kullback-Leibler divergence of each row's softmax from even shares for the true columns; 0 at best.

    Args:
        logits: (B, N); true: bool (B, N), at least one in each row.
        smoothing: share of the target spread over all columns.
    """
    target = true.float() / true.sum(1, keepdim=True)
    target = (1 - smoothing) * target + smoothing / true.shape[1]
    return (torch.xlogy(target, target) - target * logits.log_softmax(1)).sum(1).mean()


def thinned(mask: Tensor, generator: torch.Generator, share: float = FORGET) -> Tensor:
    """The mask with a share of its tokens left out; the first, ``<bos>``, stays."""
    kept = torch.rand(mask.shape, generator=generator, device=mask.device) >= share
    kept[:, 0] = True
    return mask & kept


def augmented(images: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Pictures a little shifted, lit otherwise, noisy, half of them with a square covered by grey.

    Args:
        images: (B, 3, S, S) in [-1, 1]; strength: 0 changes nothing.
    """
    if strength == 0:
        return images
    B, _, S, _ = images.shape
    device = images.device

    def draw(*shape: int) -> Tensor:
        return 2 * torch.rand(shape, generator=generator, device=device) - 1

    across = torch.arange(S, device=device)
    shift = (draw(2, B, 1) * (strength * SHIFT * S)).round().long()
    rows, columns = (across + shift).clamp(0, S - 1)  # (B, S) each; the border is repeated
    index = torch.arange(B, device=device)[:, None, None]
    x = images.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    contrast, brightness = 1 + strength * LIGHT * draw(B, 1, 1, 1), strength * LIGHT * draw(B, 1, 1, 1)
    x = x * contrast + brightness
    x = x + strength * NOISE * torch.randn(x.shape, generator=generator, device=device)
    centre = (draw(2, B, 1) + 1) * (S / 2)
    inside = (across - centre).abs() < strength * HOLE * S / 2  # (2, B, S)
    covered = inside[0][:, :, None] & inside[1][:, None, :] & (draw(B, 1, 1) > 0)  # (B, S, S)
    return x.masked_fill(covered[:, None], 0.0).clamp(-1, 1)
