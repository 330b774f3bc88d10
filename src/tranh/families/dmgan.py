"""DM-GAN (Zhu et al. 2019): a first small picture from the sentence, refined twice by reading words from a memory.

It knows nothing of what a caption means beyond the pictures it came with. Three pictures, each twice as wide, each with
a discriminator of its own; conditioning augmentation (Zhang et al. 2017); the frozen CLIP says how well picture and
caption match, in the place of the paper's DAMSM. The initial stage is the painter of a VAE: what it paints is right on
the whole and blurred, and every picture is that one, changed by what its places have read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tranh.diffusion.sample import seeded
from tranh.nn.coders import CaptionPrior, PatchDecoder, Shape
from tranh.nn.conv import ChannelNorm, Residual
from tranh.nn.critic import Critic, Verdict
from tranh.nn.groups import split_matrices
from tranh.nn.memory import DynamicMemory
from tranh.nn.pixels import resized
from tranh.nn.rivalry import alike, anchored, coarse, diversity, flatness, matching
from tranh.nn.sequence import TextEncoder
from tranh.types import Batch, Family, ParamGroup, Phase, Step

BETAS = (0.5, 0.99)
HEADS = 0.02
"""Share of the learning rate for what turns features into pixels: each pixel is a sum over hundreds of them, all of
which one step moves the same way (Yang et al. 2022, muP: 1 / fan-in)."""


class Refinement(nn.Module):
    """One stage of dynamic memory: places read words, then the grid is doubled, each place becoming four alike: were
    they told apart by weights of their own, a pattern would be there from the start (Odena et al. 2016)."""

    def __init__(self, words_dim: int, memory_dim: int, width: int, narrower: int) -> None:
        super().__init__()
        self.norm, self.memory = nn.LayerNorm(width), DynamicMemory(words_dim, memory_dim, width)
        self.mix = Residual(width)
        self.narrow = nn.Conv2d(width, narrower, 1)
        self.refine = Residual(narrower)

    def forward(self, x: Tensor, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x: (B, width, H, W). -> (B, narrower, 2 H, 2 W), and the memory's alpha (B, H W, T)."""
        places = self.norm(x.flatten(2).transpose(1, 2))  # (B, H W, width)
        read, alpha = self.memory(words, mask, places)
        h = read.transpose(1, 2).unflatten(2, x.shape[2:]).contiguous(memory_format=torch.channels_last)
        h = F.interpolate(self.narrow(self.mix(h)), scale_factor=2.0)
        refined: Tensor = self.refine(h.contiguous(memory_format=torch.channels_last))
        return refined, alpha


class DmGan(Family):
    """A generator of several stages and a discriminator for each; the generator trains the caption encoder.

    Args:
        vocab, max_len: of the tokenizer.
        text_dim, text_depth, text_heads: of the caption encoder.
        image_size: side of the last picture; with K widths the pictures are ``image_size / 2^(K-1)`` ... wide, and the
            features a picture is made of half as wide as it.
        noise: numbers of noise, which the caption moves and scales.
        dim, depth, heads: of the initial stage, a :class:`tranh.nn.coders.PatchDecoder`.
        widths: channels of the features of each stage, from the first; memory: width of the memory.
        critic_width, critic_convolutions, critic_dim, critic_depth, critic_heads: of each discriminator.
        penalty: weight of the discriminators' slope around true and made pictures.
        augmentation: weight of the conditioning augmentation's divergence.
        match: weight of the matching loss through the frozen CLIP.
        anchor, anchor_until: as in ``gan``: weight of the distance to the true picture at the start, on every stage,
            and the share of the run where it would be 0.
        trust: weight of fooling the judges at the end of a run; it grows from 0, for judges that have seen nothing yet
            teach noise.
        pace: share of the learning rate for what a VAE's painter brings; two time scales (Heusel et al. 2017), so that
            judges and refinements that know nothing yet do not spoil what is painted well.
    """

    phases: tuple[str, ...] = ("discriminator", "generator")
    overfit: ClassVar[str] = "distance"
    overfit_below: ClassVar[float] = 0.7
    shared: tuple[str, ...] = ("text", "make")

    def __init__(
        self,
        *,
        vocab: int,
        max_len: int = 128,
        text_dim: int = 256,
        text_depth: int = 3,
        text_heads: int = 4,
        image_size: int = 64,
        noise: int = 16,
        dim: int = 256,
        depth: int = 6,
        heads: int = 4,
        widths: Sequence[int] = (192, 128, 64),
        memory: int = 128,
        critic_width: int = 64,
        critic_convolutions: int = 1,
        critic_dim: int = 128,
        critic_depth: int = 1,
        critic_heads: int = 4,
        penalty: float = 1.0,
        augmentation: float = 1e-4,
        match: float = 0.2,
        anchor: float = 40.0,
        anchor_until: float = 1.25,
        trust: float = 1.0,
        pace: float = 1.0,
    ) -> None:
        super().__init__()
        self.config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.config["widths"] = list(widths)
        self.noise, self.penalty, self.match, self.augmentation = noise, penalty, match, augmentation
        self.anchor, self.anchor_until, self.trust, self.pace = anchor, anchor_until, trust, pace
        self.parents = ("clip",) if match else ()
        sides = [image_size >> k for k in reversed(range(len(widths)))]
        self.sides = sides
        self.text = TextEncoder(vocab, text_dim, text_depth, text_heads, max_len)
        self.prior = CaptionPrior(text_dim, text_heads, noise)
        self.painter = PatchDecoder(Shape(image_size, dim, depth, heads, 2 << len(widths[1:]), text_dim), noise)
        self.stem = nn.Linear(dim, widths[0])
        self.stages = nn.ModuleList(
            Refinement(text_dim, memory, a, b) for a, b in zip(widths, widths[1:], strict=False)
        )
        self.heads = nn.ModuleList(
            nn.Sequential(ChannelNorm(width), nn.Conv2d(width, 12, 3, padding=1)) for width in widths
        )
        for head in self.heads:
            nn.init.normal_(head[1].weight, std=1e-4)  # type: ignore[index]  # at first the picture is the painter's
            nn.init.zeros_(head[1].bias)  # type: ignore[index]
        self.critics = nn.ModuleList(
            Critic(
                image_size=side, patch=max(1, side // 16), width=critic_width, convolutions=critic_convolutions,
                dim=critic_dim, depth=critic_depth, heads=critic_heads, words_dim=text_dim,
            )
            for side in sides
        )  # fmt: skip
        self.alone = nn.ModuleList(Verdict(critic_dim) for _ in sides)  # without regard to the caption

    def make(self, words: Tensor, mask: Tensor, z: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """All stages.

        Args:
            words, mask: captions as read, (B, T, text_dim) and (B, T); z: noise (B, noise).

        Returns:
            pictures (B, 3, side, side), about [-1, 1], of every stage; alpha (B, N, T) of every memory; the divergence
            KL(N(mu, sigma^2) || N(0, 1)) of what the caption makes of the noise, (B,).
        """
        mu, logvar = self.prior((words, mask))
        kl = 0.5 * (mu.square() + logvar.exp() - logvar - 1).sum(1)
        tokens = self.painter.tokens(mu + (0.5 * logvar).exp() * z, (words, mask))
        first = self.painter.picture(tokens).float()
        x = self.stem(tokens).transpose(1, 2).unflatten(2, (self.sides[0] // 2, self.sides[0] // 2))
        x = x.contiguous(memory_format=torch.channels_last)
        pictures, alphas = [self.picture(0, x, first)], []
        for k, stage in enumerate(self.stages, start=1):
            x, alpha = stage(x, words, mask)
            pictures.append(self.picture(k, x, first))
            alphas.append(alpha)
        return pictures, alphas, kl

    def picture(self, stage: int, x: Tensor, first: Tensor) -> Tensor:
        """What features (B, width, H, W) of a stage make of the first picture (B, 3, S, S): (B, 3, 2 H, 2 W)."""
        return coarse(first, self.sides[stage]) + F.pixel_shuffle(self.heads[stage](x), 2).float()

    @property
    def judges(self) -> list[Critic]:
        """The discriminators, from the smallest picture's."""
        return cast(list[Critic], list(self.critics))

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        return self.judged(batch, phase) if phase.name == "discriminator" else self.made(batch, phase)

    def judged(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        """The discriminators' loss: the paper's (true or made, alone and with the caption) with wrong captions as a
        third kind, and the slope kept small."""
        mask, few = batch.mask, max(1, len(batch) // 4)
        with torch.no_grad():
            words = self.text(batch.tokens, mask)
            fakes, _, _ = self.make(words, mask, self.randn(phase, len(batch)))
        counts = ~alike(batch.tokens, mask).roll(1, 1).diagonal()  # a neighbour's caption may be the same
        losses, slopes, told, read = [], [], [], []
        for critic, alone, fake in zip(self.judges, self.alone, fakes, strict=True):
            real = coarse(batch.images, fake.shape[-1])
            own, other = critic.see(real), critic.see(fake)
            right, faked = critic.judge(own, words, mask), critic.judge(other, words, mask)
            wrong = critic.judge(own, words.roll(1, 0), mask.roll(1, 0))
            false = (F.softplus(wrong) * counts).sum() / counts.sum().clamp(min=1)
            plain = F.softplus(-alone(own)).mean() + F.softplus(alone(other)).mean()
            losses.append(0.5 * plain + 0.5 * (F.softplus(-right).mean() + (F.softplus(faked).mean() + false) / 2))
            judge = partial(_verdict, critic, words[:few], mask[:few])
            for x, at_x in ((real[:few], right[:few]), (fake[:few], faked[:few])):
                eps = torch.randn(x.shape, generator=phase.generator, device=phase.generator.device)
                slopes.append(flatness(judge, x, at_x, eps))
            told.append((right > faked).float().mean())
            read.append((right > wrong)[counts].float().sum() / counts.sum().clamp(min=1))
        slope = torch.stack(slopes).sum()
        return {
            "loss": torch.stack(losses).sum() + self.penalty / 2 * slope,
            "told_apart": torch.stack(told).mean(),
            "read": torch.stack(read).mean(),
            "slope": slope.detach(),
        }

    def made(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        """The generator's loss, and without gradient its ``distance`` to the true pictures and its ``diversity``."""
        mask, real = batch.mask, batch.images
        words = self.text(batch.tokens, mask)
        fakes, _, kl = self.make(words, mask, self.randn(phase, len(batch)))
        told = words.detach()  # the judges' way of reading is not the generator's to bend
        with torch.no_grad():
            again = self.make(told, mask, self.randn(phase, len(batch)))[0]
        fooled = []
        for critic, alone, fake in zip(self.judges, self.alone, fakes, strict=True):
            seen = critic.see(fake)
            fooled.append(0.5 * (F.softplus(-alone(seen)) + F.softplus(-critic.judge(seen, told, mask))).mean())
        fool, divergence = torch.stack(fooled).sum(), kl.mean()
        loss = self.trust * phase.progress * fool + self.augmentation * divergence
        figures = {"fool": fool.detach(), "augmentation": divergence.detach()}
        weight = self.anchor * max(0.0, 1 - phase.progress / self.anchor_until)
        if weight > 0:
            apart = [
                anchored(fake, other, coarse(real, fake.shape[-1]), self.sides[-2])
                for fake, other in zip(fakes, again, strict=True)
            ]
            loss = loss + weight * torch.stack(apart).mean()
        if self.match:
            clip: Any = self.met["clip"]
            # CLIP sees mean colours of 4 x 4 pixels: a pattern too fine for anybody else would please it just as well
            seen = resized(coarse(fakes[-1], fakes[-1].shape[-1] // 4), fakes[-1].shape[-1])
            fit = matching(clip.embed_images(seen), batch.parts["clip.text"], alike(batch.tokens, mask))
            loss = loss + self.match * fit
            figures["match"] = fit.detach()
        last = fakes[-1].detach()
        figures["distance"] = (last - real).abs().mean()
        figures["diversity"] = diversity(last, again[-1], real)
        return {"loss": loss} | figures

    def randn(self, phase: Phase, rows: int) -> Tensor:
        return torch.randn(rows, self.noise, generator=phase.generator, device=phase.generator.device)

    def param_groups(self, phase: str) -> list[ParamGroup]:
        parts: dict[nn.Module, float] = dict.fromkeys((self.critics, self.alone), 1.0)
        if phase == "generator":
            parts = dict.fromkeys((self.text, self.prior, self.painter), self.pace)
            parts |= dict.fromkeys((self.stem, self.stages), 1.0) | {self.heads: HEADS}
        groups = [(group, pace) for part, pace in parts.items() for group in split_matrices(part)]
        return [ParamGroup(g.params, g.optimizer, pace, g.weight_decay, BETAS) for g, pace in groups]

    def adopt(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights of another DM-GAN, the caption encoder of a reader, or all that draws of a VAE."""
        given = {k.replace("decoder.", "painter.", 1): v for k, v in tensors.items()}
        return self.fitting(given)

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
        """The picture of every stage, as wide as the last; it has no use for ``steps``, ``guidance`` and ``away``."""
        pictures, _, _ = self.make(self.text(tokens, mask), mask, self.noise_of(seeds, tokens.device))
        pictures = [picture.clamp(-1, 1) for picture in pictures]
        x0, count = pictures[-1], len(pictures)
        for k, picture in enumerate(pictures, start=1):
            x = F.interpolate(picture, size=x0.shape[-2:]) if k < count else x0
            yield Step(k, count, 1 - k / count, x, x0)

    def noise_of(self, seeds: Sequence[int], device: torch.device) -> Tensor:
        return seeded(seeds, (self.noise,), device)()

    def attention(self, tokens: Tensor, mask: Tensor, seeds: Sequence[int]) -> list[Tensor]:
        """To what share each place of a picture read each word, (B, T, H, W) of every memory from the first."""
        _, alphas, _ = self.make(self.text(tokens, mask), mask, self.noise_of(seeds, tokens.device))
        found = []
        for alpha in alphas:
            side = int(alpha.shape[1] ** 0.5)
            found.append(alpha.transpose(1, 2).unflatten(2, (side, side)))
        return found


def _verdict(critic: Critic, words: Tensor, mask: Tensor, x: Tensor) -> Tensor:
    return critic.judge(critic.see(x), words, mask)
