"""Walks through what pictures are made of (embeddings, words, noise, latents), at an even pace for the eye.

It knows no family: a walk of the hierarchy asks for ``unclip``, a walk through latents for ``decode``. Places on a walk
are numbers: 0 is the first key, 1 the second, and on a closed walk of K keys K is the first again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tranh.diffusion.loss import rows
from tranh.diffusion.sample import euler
from tranh.edits.interpolate import slerp
from tranh.types import Autoencodes, Denoiser, TranhError, Unclips

ROWS = 8
"""Frames drawn at once."""

Draw = Callable[[Tensor], Iterator[Tensor]]
"""Places (N,) -> frames in [-1, 1], some at a time, (n, 3, S, S); each the same whatever others are asked with it."""


def between(count: int, at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The keys before and after places (N,) on a walk of ``count`` keys, and how far it is from one to the other."""
    before = at.floor().long()
    return before % count, (before + 1) % count, at - before


@dataclass(frozen=True)
class Road:
    """The keys of a walk of the hierarchy.

    Attributes:
        embeddings: (K, D), of unit length; prompts: K, empty words for none; noise: (K, 3, S, S).
        loop: does the last lead back to the first?
    """

    embeddings: Tensor
    prompts: Sequence[str]
    noise: Tensor
    loop: bool = True

    @property
    def length(self) -> int:
        """The place where it ends."""
        return len(self.prompts) if self.loop else len(self.prompts) - 1


def unclipped(model: Unclips, road: Road, ts: Tensor, guidance: float | None = None) -> Draw:
    """Frames of a walk: embedding and noise on great circles, and of the two prompts what each says by its share.

    Args:
        ts: times of the sampling grid.
    """

    @torch.no_grad()
    def draw(at: Tensor) -> Iterator[Tensor]:
        for part in at.split(ROWS):
            i, j, w = between(len(road.prompts), part)
            embeddings = slerp(road.embeddings[i], road.embeddings[j], w)
            said = [model.unclip(embeddings, [road.prompts[k] for k in keys], guidance) for keys in _told(road, i, j)]
            x = slerp(road.noise[i], road.noise[j], w)
            for step in euler(blended(said, w), x, ts):
                x = step.x
            yield x.clamp(-1, 1)

    return draw


def _told(road: Road, i: Tensor, j: Tensor) -> list[list[int]]:
    """The keys whose words are asked: of before and after, or once where all say the same."""
    pairs = [i.tolist(), j.tolist()]
    same = all(road.prompts[a] == road.prompts[b] for a, b in zip(*pairs, strict=True))
    return pairs[:1] if same else pairs


def blended(denoisers: Sequence[Denoiser], w: Tensor) -> Denoiser:
    """One denoiser alone, or of two what lies between their answers: w = 0 (N,) is the first's."""
    if len(denoisers) == 1:
        return denoisers[0]
    first, second = denoisers
    return lambda x, t: torch.lerp(first(x, t), second(x, t), rows(w.to(x), x))


def decoded(model: Autoencodes, latents: Tensor) -> Draw:
    """Frames of a walk along straight lines from latent (K, ...) to latent."""

    @torch.no_grad()
    def draw(at: Tensor) -> Iterator[Tensor]:
        for part in at.split(ROWS):
            i, j, w = between(len(latents), part)
            yield model.decode(torch.lerp(latents[i], latents[j], rows(w.to(latents), latents))).float().clamp(-1, 1)

    return draw


def steps_between(frames: Tensor, loop: bool) -> Tensor:
    """How much each frame (N, 3, S, S) differs from the next, (N,) or (N - 1,): the mean absolute difference of pixels.

    An edge that moves twice as far makes it twice as large, so that lengths of a way add up; squares would not.
    """
    after = frames.roll(-1, 0) if loop else frames[1:]
    return (frames[: len(after)] - after).abs().flatten(1).mean(1)


def unevenness(lengths: Tensor) -> float:
    """Standard deviation over mean of the steps between frames: 0 is a perfectly even pace."""
    return float(lengths.std(correction=0) / lengths.mean().clamp(min=1e-12))


def paced(at: Tensor, lengths: Tensor, end: float, count: int, loop: bool) -> Tensor:
    """Places at even distances along a way that was measured.

    Args:
        at: places (N,), rising from 0; on a closed walk the last is before ``end``, where the first comes again.
        lengths: from each to the next, (N,) on a closed walk and (N - 1,) on an open one.
        count: places wanted.

    Returns:
        (count,), rising from 0; the last is ``end`` on an open walk, and one step before it on a closed one.
    """
    ends = torch.cat([at, at.new_tensor([end])]) if loop else at
    way = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]).double()
    way = way + torch.linspace(0, 1e-6, len(way)).double() * way[-1].clamp(min=1e-12)  # never flat: it is inverted
    wanted = torch.linspace(0, float(way[-1]), count + 1 if loop else count, dtype=torch.float64)[:count]
    k = torch.searchsorted(way, wanted, right=True).clamp(1, len(way) - 1)
    share = ((wanted - way[k - 1]) / (way[k] - way[k - 1])).to(at)
    return torch.lerp(ends[k - 1], ends[k], share)


@dataclass(frozen=True)
class Round:
    """One pass over a walk: the places (N,), and the frames drawn so far, (n, 3, S, S), n = N in the end."""

    at: Tensor
    frames: Tensor

    @property
    def done(self) -> bool:
        return len(self.frames) == len(self.at)


def walk(draw: Draw, end: float, count: int, loop: bool = True, rounds: int = 2) -> Iterator[Round]:
    """Frames of a walk, first at even places, then ``rounds`` times at even distances for the eye.

    Every frame drawn before tells how long the way is there, so that each round knows it better than the last.

    Yields:
        each round again and again as its frames are drawn; the last is the walk.

    Raises:
        TranhError: fewer than two frames.
    """
    if count < 2:
        raise TranhError(f"{count} frames are no walk: ask for at least 2")
    at = torch.linspace(0, end, count + 1 if loop else count)[:count]
    known, seen = at[:0], torch.empty(0)
    for k in range(rounds + 1):
        if k:
            at = paced(known, steps_between(seen, loop), end, count, loop)
        frames: list[Tensor] = []
        for some in draw(at):
            frames.append(some)
            yield Round(at, torch.cat(frames))
        known, order = torch.cat([known, at]).sort(stable=True)
        seen = torch.cat([seen, *frames])[order]
