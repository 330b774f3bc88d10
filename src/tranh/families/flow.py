"""A normalizing flow from captions to pictures: one invertible network, exact likelihoods, no step is approximate.

It knows neither schedules nor samplers. A frozen painter says what picture a caption leads to expect; that is taken
away, and what remains is halved by the Haar transform. The small one goes through a causal transformer over patches
(TarFlow, Zhai et al. 2024, arXiv 2412.06329) which tells a mixture of normals for each (JetFormer, Tschannen et al.
2024, arXiv 2411.19722), the details through a convolutional map given the small one (WaveletFlow, Yu et al. 2020).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tranh.diffusion.sample import seeded
from tranh.nn.asked import Questions
from tranh.nn.groups import split_matrices
from tranh.nn.invertible import AutoregressiveBlock, Details, coarse_to_fine, gaussian, haar, unhaar
from tranh.nn.sequence import TextEncoder
from tranh.nn.transformer import patchify, unpatchify
from tranh.types import Batch, Family, ParamGroup, Phase, Step, TranhError

LEVEL = 2 / 255
"""Distance of two levels of an 8-bit picture in [-1, 1]."""
CLEAN, NOISY = 0, 1
"""The two densities that are learned: of pictures with uniform noise of one level (their bits are those of the 8-bit
picture), and of pictures with Gaussian noise besides (from which samples are drawn, and the noise taken off)."""
THINGS = 0.8
"""Share of a patch's weight that goes by what is painted there: most patches are ground, and soon learned."""
LIMIT = 16.0
"""Numbers of tokens that are drawn stay within it; a picture's own are far from it. A sample could run away otherwise:
each patch believes those before."""

Context = tuple[Tensor, Tensor]
"""What a caption tells: the picture it leads to expect (B, 3, S, S), and tokens (B, K + N, hidden_size), of the whole
and of each patch."""


class Flow(Family):
    """x <-> z, both of as many numbers; log p(x | caption) = log N(z; 0, I) + log |det dz/dx|.

    What patches and details tell are densities of one number after the other, and z are the places of x in them: so the
    likelihood needs no z, and a map between them is only walked to encode and to draw.

    Args:
        vocab, max_len: of the tokenizer.
        text_dim, text_depth, text_heads: of the caption encoder.
        context: tokens that queries make of its output; a reader with as many queries lends them too.
        painter_width: of the painter's tokens.
        image_size: side of the pictures; halvings: how often they are halved before the transformers see them;
            patch_size: of the small picture.
        hidden_size, num_heads, depth: of the transformer; peaks: normals of each of its mixtures.
        detail_width, detail_depth: of the networks for the details.
        noise: standard deviation of the Gaussian noise; clean: share of the examples that have none.
        drop: share of examples without caption, so that pictures can be encoded without.
        temperature: z is drawn from N(0, temperature^2 I).
    """

    parents: tuple[str, ...] = ("painter",)
    sphere: ClassVar[bool] = True  # thousands of normal numbers are all of about one length
    overfit: ClassVar[str] = "excess"  # bits of each number of the small picture, beyond those of its noise
    overfit_below: ClassVar[float] = 0.5
    shared: tuple[str, ...] = ("text", "inverse_map", "denoise", "encode")

    def __init__(
        self,
        *,
        vocab: int,
        max_len: int = 128,
        text_dim: int = 256,
        text_depth: int = 3,
        text_heads: int = 4,
        context: int = 16,
        painter_width: int = 256,
        image_size: int = 64,
        halvings: int = 2,
        patch_size: int = 2,
        hidden_size: int = 256,
        num_heads: int = 4,
        depth: int = 4,
        peaks: int = 8,
        detail_width: int = 48,
        detail_depth: int = 2,
        noise: float = 0.15,
        clean: float = 0.25,
        drop: float = 0.1,
        temperature: float = 0.5,
    ) -> None:
        super().__init__()
        self.config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.side, self.patch, self.halvings = image_size >> halvings, patch_size, halvings
        self.noise, self.clean, self.drop = noise, clean, drop
        self.temperature = temperature
        self.text = TextEncoder(vocab, text_dim, text_depth, text_heads, max_len)
        self.questions, self.asked = Questions(context, text_dim, text_heads), context
        self.text_in = nn.Linear(text_dim, hidden_size)
        length = (self.side // patch_size) ** 2
        self.painted_in = nn.Linear(painter_width + 3 * (patch_size << halvings) ** 2, hidden_size)
        self.null = nn.Parameter(0.02 * torch.randn(context + length, hidden_size))
        self.kinds = nn.Embedding(2, hidden_size)  # clean or noisy
        basis, octaves = coarse_to_fine(patch_size)
        self.basis: Tensor
        self.register_buffer("basis", basis, persistent=False)  # float64: its transpose inverts it to the last digit
        # Coarse numbers of a patch are many times as large as fine ones: a network wants all of them near one.
        scale = [(patch_size << halvings) / 4**k for k, size in enumerate(octaves) for _ in range(size)]
        self.scale: Tensor
        self.register_buffer("scale", torch.tensor(scale), persistent=False)
        self.tokens = AutoregressiveBlock(octaves, length, hidden_size, depth, num_heads, peaks=peaks)
        self.details = nn.ModuleList(Details(detail_width, detail_depth, hidden_size) for _ in range(halvings))

    def condition(self, tokens: Tensor, mask: Tensor, painted: tuple[Tensor, Tensor]) -> Context:
        """What captions (B, T) tell, and the painter: the picture that they lead to expect, (B, 3, S, S), and the
        tokens (B, N, painter_width) it was painted from, which have seen all of it."""
        answers = self.questions(self.text(tokens, mask), mask)
        patches = patchify(painted[0], self.patch << self.halvings)
        told = self.painted_in(torch.cat([painted[1].to(patches.dtype), patches], dim=2))
        return painted[0], torch.cat([self.text_in(answers), told], dim=1)

    def unconditional(self, rows: int) -> Context:
        """What no caption tells: no picture."""
        return self.null.new_zeros(rows, 3, self._size, self._size), self.null.expand(rows, -1, -1)

    def told(self, context: Context, kind: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the transformer begins with (clean or noisy, and the caption), what it is told of each patch, and the
        order of the patches: where most is painted comes first, in steps that rounding errors do not change."""
        kinds = self.kinds(kind)[:, None].to(context[1].dtype)
        order = (4 * self.painted(context[0])).round().argsort(dim=1, descending=True, stable=True)
        return context[1][:, : self.asked] + kinds, context[1][:, self.asked :], order

    def parts(self, x: Tensor, context: Context) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Pictures (B, 3, S, S), without what was expected, as tokens (B, N, D) of the small picture, and what each
        halving took away (B, 9, s, s) with what it left (B, 3, s, s), the smallest first."""
        x, taken = x - context[0], []
        for _ in self.details:
            x, fine = haar(x)
            taken.append((fine, x / 2))
        with torch.autocast(x.device.type, enabled=False):
            return patchify(x, self.patch) @ self.basis.T.to(x.dtype) / self.scale, taken[::-1]

    def log_probs(self, x: Tensor, context: Context, kind: Tensor) -> list[Tensor]:
        """log p(x | context) in nats, exact: of each patch of the small picture, (B, N), then of each halving's details
        given what is smaller, (B, 1).

        Args:
            x: (B, 3, S, S); context: of :meth:`condition`; kind: clean or noisy, int64 (B,).
        """
        tokens, taken = self.parts(x, context)
        told = self.told(context, kind)
        details = [(gaussian(z) + log)[:, None] for z, log in self._details(taken, told[0], kind)]
        return [self.tokens.log_prob(tokens, *told) - self.scale.log().sum(), *details]

    def forward_map(self, x: Tensor, context: Context, kind: Tensor) -> list[Tensor]:
        """Pictures to latents: of the small picture's tokens (B, N, D), then of the details (B, 9, s, s), the smallest
        first; arguments as for :meth:`log_probs`."""
        tokens, taken = self.parts(x, context)
        told = self.told(context, kind)
        return [self.tokens(tokens, *told), *(z for z, _ in self._details(taken, told[0], kind))]

    def _details(
        self, taken: Sequence[tuple[Tensor, Tensor]], prefix: Tensor, kind: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        for details, (fine, low) in zip(self.details, taken, strict=True):
            yield details(fine, low, prefix[:, -1], kind == CLEAN)

    def inverse_map(self, zs: Sequence[Tensor], context: Context, kind: Tensor, limit: float = math.inf) -> Tensor:
        """Latents to pictures: the inverse of :meth:`forward_map`, where no number of a token is beyond ``limit``."""
        z, *fine = zs
        prefix, patches, order = self.told(context, kind)
        tokens = self.tokens.inverse(z, prefix, patches, order, limit) * self.scale
        x = unpatchify(tokens @ self.basis.to(z.dtype), self.patch, self.side, self.side)
        for details, detail in zip(self.details, fine, strict=True):
            assert isinstance(details, Details)
            x = unhaar(x, details.inverse(detail, x / 2, prefix[:, -1], kind == CLEAN))
        return x + context[0]

    def log_prob(self, x: Tensor, context: Context, kind: Tensor) -> Tensor:
        """The sum of :meth:`log_probs`, (B,)."""
        return torch.cat(self.log_probs(x, context, kind), dim=1).sum(1)

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        B, g = len(batch), phase.generator
        images = batch.images
        if B < 2:
            raise TranhError(
                f"a batch of {B}: the flow needs 2 pictures at least, one clean and one with noise: batch=2"
            )

        def rand(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=g, device=g.device).to(images.device)

        share = min(max(1, round(self.clean * B)), B - 1)  # each batch holds both
        kind = torch.where(torch.arange(B, device=images.device) < share, CLEAN, NOISY)
        dropped = rand(B) < self.drop
        picture, told = self.condition(batch.tokens, batch.mask, _painted(batch))
        context = (
            torch.where(dropped.view(-1, 1, 1, 1), 0.0, picture),
            torch.where(dropped.view(-1, 1, 1), self.null.to(told.dtype), told),
        )
        grain = torch.randn(images.shape, generator=g, device=g.device).to(images.device)
        x = images + LEVEL * (rand(*images.shape) - 0.5) + self.noise * kind.view(-1, 1, 1, 1) * grain
        sizes = [3 * self.side**2 * (1 if k == 0 else 3 * 4 ** (k - 1)) for k in range(self.halvings + 1)]
        small, *details = self.log_probs(x, context, kind)
        each = [_bits(p.sum(1), n) for p, n in zip([small, *details], sizes, strict=True)]
        pull = torch.where(kind == CLEAN, LEVEL / math.sqrt(12) / self.noise, 1.0)
        of_noise = math.log2(math.sqrt(2 * math.pi * math.e * (self.noise**2 + LEVEL**2 / 12)) / LEVEL)
        # The small picture counts as much as the many details, and its patches by what is painted there: that depends
        # on the caption alone, so it moves no density, but what is learned first. Gradients grow as noise falls:
        # without the factor clean pictures would leave nothing of what the noisy ones teach.
        weighed = _bits((self.painted(context[0]) * small).sum(1), sizes[0])
        return {
            "loss": (pull * torch.stack([weighed, *each[1:]]).mean(0)).mean(),
            "bits": (torch.stack(each, 1) @ each[0].new_tensor(sizes) / sum(sizes))[:share].mean().detach(),
            "excess": (each[0][share:] - of_noise).mean().detach(),
        }

    def painted(self, picture: Tensor) -> Tensor:
        """Weights of the patches of pictures (B, 3, S, S), (B, N), of mean 1: larger where more is painted on the
        commonest colour."""
        apart = (picture - picture.flatten(2).median(2).values[:, :, None, None]).abs()
        much = patchify(apart, self.patch << self.halvings).mean(2)
        share = much / much.mean(1, keepdim=True).clamp(min=1e-6)
        return torch.where(much.amax(1, keepdim=True) > 0, 1 - THINGS + THINGS * share, 1.0)

    def bits(self, batch: Batch, seed: int = 0) -> Iterator[Tensor]:
        """Bits per dimension of 8-bit pictures given their captions: one term, (B,).

        Uniform noise u of one level makes pictures continuous. By Jensen's inequality -log2 of the density of x + u,
        in levels, is an upper bound of the bits of x, whose probability is the integral over its level.
        """
        images = batch.images
        u = torch.rand(images.shape, generator=torch.Generator().manual_seed(seed)).to(images.device) - 0.5
        kind = torch.full((len(batch),), CLEAN, device=images.device)
        context = self.condition(batch.tokens, batch.mask, _painted(batch))
        yield _bits(self.log_prob(images + LEVEL * u, context, kind), images[0].numel())

    def param_groups(self, phase: str) -> list[ParamGroup]:
        return split_matrices(self)

    def adopt(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights of another flow, or what reads captions in a reader: what fits is taken over."""
        return self.fitting(tensors)

    def encode(self, images: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) as latents (B, 3 S S), of the density of noisy pictures without a caption: there
        neighbours in z are neighbours in x."""
        with torch.autocast(images.device.type, enabled=False):
            zs = self.forward_map(images, self.unconditional(len(images)), self._noisy(images))
        return torch.cat([z.flatten(1) for z in zs], dim=1)

    def decode(self, latents: Tensor) -> Tensor:
        """The pictures of latents; the inverse of :meth:`encode`."""
        with torch.autocast(latents.device.type, enabled=False):
            zs = self.apart(latents)
            return self.inverse_map(zs, self.unconditional(len(latents)), self._noisy(latents))

    def apart(self, latents: Tensor) -> list[Tensor]:
        """Latents (B, 3 S S) as those of the tokens and of the details."""
        B, zs, s = len(latents), [], self.side
        rest = latents
        tokens, rest = rest[:, : 3 * s * s], rest[:, 3 * s * s :]
        zs.append(tokens.view(B, -1, 3 * self.patch**2))
        for _ in self.details:
            zs.append(rest[:, : 9 * s * s].view(B, 9, s, s))
            rest, s = rest[:, 9 * s * s :], 2 * s
        return zs

    def draw(
        self,
        tokens: Tensor,
        mask: Tensor,
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        guidance: float | None = None,
        away: tuple[Tensor, Tensor] | None = None,
    ) -> Iterator[Step]:
        """Pictures of B captions: a sample of the noisy density, then the same without its noise. It has no use for
        ``steps``, ``guidance`` and ``away``."""
        device, B = tokens.device, len(tokens)
        z = seeded(seeds, (3 * self.side**2,), device)() * self.temperature
        painter: Any = self.met["painter"]
        with torch.autocast(device.type, enabled=False):
            context = self.condition(tokens, mask, painter.expected(tokens, mask))
            small, *fine = self.apart(torch.cat([z, z.new_zeros(B, 3 * self._size**2 - z.shape[1])], dim=1))
            x = self.inverse_map([small, *fine], context, self._noisy(z), LIMIT)
        yield Step(1, 2, self.noise / (1 + self.noise), x, x)
        with torch.autocast(device.type, enabled=False):
            x = self.denoise(x, context).clamp(-1, 1)
        yield Step(2, 2, 0.0, x, x)

    def denoise(self, x: Tensor, context: Context) -> Tensor:
        """The mean of the clean pictures a noisy one may come from, x + sigma^2 grad log p(x) (Tweedie)."""
        known = (context[0].detach(), context[1].detach())
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (score,) = torch.autograd.grad(self.log_prob(x, known, self._noisy(x)).sum(), x)
        return (x + self.noise**2 * score).detach()

    @property
    def _size(self) -> int:
        return self.side << self.halvings

    def _noisy(self, like: Tensor) -> Tensor:
        return torch.full((len(like),), NOISY, device=like.device)


def _bits(log_prob: Tensor, numbers: int) -> Tensor:
    """Nats of a density over [-1, 1] as bits of each 8-bit number."""
    return -log_prob / (math.log(2) * numbers) - math.log2(LEVEL)


def _painted(batch: Batch) -> tuple[Tensor, Tensor]:
    return batch.parts["painter.expected"], batch.parts["painter.patches"]
