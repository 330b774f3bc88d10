"""A generative adversarial network told by captions (Goodfellow et al. 2014; Reed et al. 2016).

It knows nothing of what a caption means beyond the pictures it came with. The discriminator is matching-aware: it sees
true pictures with their captions, true pictures with others' captions, and made pictures. Who wins is told by
comparison, and the discriminator is kept flat around its pictures, as in R3GAN (Huang et al. 2024).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tranh.diffusion.sample import seeded
from tranh.nn.coders import CaptionPrior, PatchDecoder, Shape
from tranh.nn.critic import Critic
from tranh.nn.groups import split_matrices
from tranh.nn.rivalry import ahead, alike, anchored, diversity, flatness, matching
from tranh.nn.sequence import TextEncoder
from tranh.types import Batch, Family, ParamGroup, Phase, Step

BETAS = (0.5, 0.99)
"""Short memory of the gradient's direction: the other player has moved since."""


class Gan(Family):
    """Generator and discriminator; the generator trains the caption encoder, the discriminator reads along.

    Args:
        vocab, max_len: of the tokenizer.
        text_dim, text_depth, text_heads: of the caption encoder.
        image_size: side of the pictures.
        noise: numbers of noise behind a picture.
        dim, depth, heads, patch: of the generator, a VAE's painter (:class:`tranh.nn.coders.PatchDecoder`).
        critic_patch, critic_width, critic_convolutions, critic_dim, critic_depth, critic_heads: of the discriminator.
        penalty: weight of the discriminator's slope around true and made pictures.
        match: weight of the matching loss through the frozen CLIP; 0 does without a CLIP.
        anchor: weight, at the start, of the distance of what is made, in the mean over noise, to the true pictures; it
            would be 0 at ``anchor_until``, a share of the run. It keeps things where they are and in their colour, and
            every pixel from what the discriminator does not look at.
        trust: weight of fooling the judges at the end of a run; it grows from 0, for judges that have seen nothing yet
            teach noise.
        pace: share of the learning rate for the generator; below 1 it moves slower than its judge (two time scales,
            Heusel et al. 2017), and stays near the painter it began from.
    """

    phases: tuple[str, ...] = ("discriminator", "generator")
    overfit: ClassVar[str] = "distance"
    overfit_below: ClassVar[float] = 0.7
    shared: tuple[str, ...] = ("text", "prior", "generator")

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
        patch: int = 8,
        critic_patch: int = 4,
        critic_width: int = 96,
        critic_convolutions: int = 1,
        critic_dim: int = 192,
        critic_depth: int = 1,
        critic_heads: int = 4,
        penalty: float = 10.0,
        match: float = 0.2,
        anchor: float = 40.0,
        anchor_until: float = 1.25,
        trust: float = 1.0,
        pace: float = 1.0,
    ) -> None:
        super().__init__()
        self.config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.parents = ("clip",) if match else ()
        self.noise, self.match, self.penalty = noise, match, penalty
        self.anchor, self.anchor_until, self.trust, self.pace = anchor, anchor_until, trust, pace
        self.text = TextEncoder(vocab, text_dim, text_depth, text_heads, max_len)
        self.prior = CaptionPrior(text_dim, text_heads, noise)
        self.generator = PatchDecoder(Shape(image_size, dim, depth, heads, patch, text_dim), noise)
        self.critic = Critic(
            image_size=image_size, patch=critic_patch, width=critic_width, convolutions=critic_convolutions,
            dim=critic_dim, depth=critic_depth, heads=critic_heads, words_dim=text_dim,
        )  # fmt: skip

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        return self.judged(batch, phase) if phase.name == "discriminator" else self.made(batch, phase)

    def make(self, words: Tensor, mask: Tensor, z: Tensor) -> Tensor:
        """Captions as read (B, T, text_dim), (B, T), and noise (B, noise) to pictures (B, 3, S, S), about [-1, 1].

        Conditioning augmentation (Zhang et al. 2017): the noise is moved and scaled by what the caption says.
        """
        mu, logvar = self.prior((words, mask))
        return self.generator(mu + (0.5 * logvar).exp() * z, (words, mask)).float()

    def judged(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        """The discriminator's loss: its own caption fits a true picture better than a made one, and better than
        another's caption does; and its verdict hardly changes around either."""
        real, randn = batch.images, partial(_randn, phase)
        with torch.no_grad():
            words = self.text(batch.tokens, batch.mask)
            fake = self.make(words, batch.mask, randn(len(batch), self.noise))
        seen = self.critic.see(real)
        right = self.critic.judge(seen, words, batch.mask)
        wrong = self.critic.judge(seen, words.roll(1, 0), batch.mask.roll(1, 0))
        faked = self.critic.judge(self.critic.see(fake), words, batch.mask)
        counts = ~alike(batch.tokens, batch.mask).roll(1, 1).diagonal()  # a neighbour's caption may be the same
        tell = ahead(right, faked)
        read = ahead(right, torch.where(counts, wrong, -torch.inf)) * len(batch) / counts.sum().clamp(min=1)
        few = max(1, len(batch) // 4)

        def judge(x: Tensor) -> Tensor:
            return self.critic.judge(self.critic.see(x), words[:few], batch.mask[:few])

        slopes = [
            flatness(judge, x[:few], at_x[:few], randn(*x[:few].shape)) for x, at_x in ((real, right), (fake, faked))
        ]
        slope = torch.stack(slopes).sum()
        return {
            "loss": tell + read + self.penalty / 2 * slope,
            "told_apart": (right > faked).float().mean(),
            "read": (right > wrong)[counts].float().sum() / counts.sum().clamp(min=1),
            "slope": slope.detach(),
        }

    def made(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        """The generator's loss, and without gradient its ``distance`` to the true pictures and its ``diversity``."""
        real = batch.images
        words = self.text(batch.tokens, batch.mask)
        fake = self.make(words, batch.mask, _randn(phase, len(batch), self.noise))
        told = words.detach()  # the judge's way of reading is not the generator's to bend
        with torch.no_grad():
            again = self.make(told, batch.mask, _randn(phase, len(batch), self.noise))
            right = self.critic.judge(self.critic.see(real), told, batch.mask)
        fool = ahead(self.critic.judge(self.critic.see(fake), told, batch.mask), right)
        loss = self.trust * phase.progress * fool
        figures = {"fool": fool.detach()}
        weight = self.anchor * max(0.0, 1 - phase.progress / self.anchor_until)
        if weight > 0:
            loss = loss + weight * anchored(fake, again, real, fake.shape[-1] // 2)
        if self.match:
            clip: Any = self.met["clip"]
            fits = matching(clip.embed_images(fake), batch.parts["clip.text"], alike(batch.tokens, batch.mask))
            loss = loss + self.match * fits
            figures["match"] = fits.detach()
        seen = fake.detach()
        figures["distance"] = (seen - real).abs().mean()
        figures["diversity"] = diversity(seen, again, real)
        return {"loss": loss} | figures

    def param_groups(self, phase: str) -> list[ParamGroup]:
        makers: tuple[nn.Module, ...] = (self.text, self.prior, self.generator)
        own, pace = ((self.critic,), 1.0) if phase == "discriminator" else (makers, self.pace)
        groups = [group for part in own for group in split_matrices(part)]
        return [ParamGroup(g.params, g.optimizer, pace, g.weight_decay, BETAS) for g in groups]

    def adopt(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights of another GAN, the caption encoder of a reader, or all that draws of a VAE (Larsen et al. 2016)."""
        given = {k.replace("decoder.", "generator.", 1): v for k, v in tensors.items()}
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
        """Pictures in one step; ``steps``, ``guidance`` and ``away`` are of no use to it."""
        z = seeded(seeds, (self.noise,), tokens.device)()
        x = self.make(self.text(tokens, mask), mask, z).clamp(-1, 1)
        yield Step(1, 1, 0.0, x, x)


def _randn(phase: Phase, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=phase.generator, device=phase.generator.device)
