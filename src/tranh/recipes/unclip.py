"""The hierarchy of DALL-E 2: caption -> CLIP -> prior -> decoder -> upsampler, as a recipe and as a system.

``recipe`` says how its stages are trained; ``assemble`` puts trained parts together into what users hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tranh.data.scenes.labels import PATCH_SIZES
from tranh.diffusion.sample import euler, seeded
from tranh.diffusion.schedule import linear
from tranh.edits.enlarge import tiled
from tranh.families.ar_prior import ArPrior
from tranh.families.clip import Clip
from tranh.families.decoder import Decoder
from tranh.families.editor import Editor
from tranh.families.enhancer import Enhancer
from tranh.families.prior import Prior, best_of
from tranh.families.upsampler import Upsampler
from tranh.nn.pixels import resized
from tranh.recipes import words
from tranh.recipes.beside import parts_of
from tranh.recipes.control import Control
from tranh.recipes.system import System
from tranh.text.prompt import Prompt
from tranh.text.weights import parse
from tranh.types import Denoiser, Family, Recipe, Request, Stage, Step, TranhError

LAST = 0.08
"""Last time of the sampling grid: from there the decoder's estimate is the picture. Above the loss's floor of 0.05."""

AUGMENT = 0.03
"""Share of noise added to the decoder's picture before it is enlarged."""

PARTS = ("clip", "prior", "ar_prior", "decoder", "upsampler")
"""Stages that are part of the system, as far as they were trained; a draft only helped the decoder."""

SCENES = {"source": "scenes"}
ALL = {"one": 0.25, "two": 0.35, "full": 0.4}


def recipe(data: Mapping[str, Any] | None = None) -> Recipe:
    """The hierarchy on all levels of Scenes, what ``tranh-1`` is trained with; or on own pictures.

    Args:
        data: of own pictures, ``{"source": PATH}``, or of some of Scenes, ``{"source": "scenes", "levels": ...}``;
            None for all of Scenes.
    """
    if data is not None and data["source"] != "scenes":
        return of_pictures("unclip", stages_of_pictures(data))
    return Recipe(
        name="unclip",
        stages=stages(SCENES | {"levels": ALL} | dict(data or {}), longer=5),
        system="tranh.recipes.unclip:assemble",
        parts=PARTS,
        cost="two cores: about 10 hours, by the speed of each stage; not yet run in one go",
        expected="see the table of tranh-1 in the README",
    )


def stages(data: Mapping[str, Any], *, longer: float = 1, upsample: bool = True) -> dict[str, Stage]:
    """The stages of the hierarchy on some data, in the order they train: two hours of two cores, ``longer`` times.

    A ``reader`` learns the words first. From it the decoder begins as a ``draft``, told by dense captions alone, on
    some of the patches. Then it gets the CLIP embedding, every caption, every patch, and large batches.
    """
    small, on_clip = dict(data), {"clip": "clip"}
    with_labels, labels = small | {"patches": 8}, {"label_sizes": list(PATCH_SIZES)}
    out = {
        "clip": Stage("clip", data=small, steps=250, batch=256, share=0.07),
        "prior": Stage("prior", data=small, parents=on_clip, steps=250, batch=128, share=0.04),
        "ar_prior": Stage("ar_prior", data=small, parents=on_clip, steps=200, batch=64, share=0.03),
        "reader": words.reader(small, steps=600, share=0.05),
        "draft": Stage(
            "decoder",
            model=labels | {"clip_dim": None, "keep": 24, "label_until": 2.0, "time_mean": 0.8},
            data=with_labels | {"dense": 1.0},
            init="reader",
            steps=750,
            batch=96,
            muon_lr=4e-3,
            decay=0.1,
            share=0.2,
        ),
        "decoder": Stage(
            "decoder",
            model=labels,
            data=with_labels,
            parents=on_clip,
            init="draft",
            steps=1100,
            batch=128,
            muon_lr=4e-3,
            decay=0.6,
            share=0.61,
        ),
    }
    if upsample:
        out["upsampler"] = Stage(
            "upsampler",
            model={"augment": 0.1},
            data=small | {"size": 256, "count": 3000},
            steps=800,
            batch=16,
            share=0.12,
        )
    return {name: replace(stage, steps=round(longer * stage.steps)) for name, stage in out.items()}


def of_pictures(name: str, stages: Mapping[str, Stage]) -> Recipe:
    """A recipe on own pictures."""
    return Recipe(
        name=name,
        stages=stages,
        system="tranh.recipes.unclip:assemble",
        parts=PARTS,
        cost="as long as you like: --minutes shares the time among the stages; `tranh plan` measures this machine",
        expected="it depends on the pictures: `tranh plan` says how often each is seen, `tranh evaluate --data` judges",
    )


def stages_of_pictures(data: Mapping[str, Any], *, upsample: bool = True) -> dict[str, Stage]:
    """The stages on own pictures. Nothing is known of them beyond their captions, so no reader and no labels."""
    small, on_clip = dict(data), {"clip": "clip"}
    out = {
        "clip": Stage("clip", data=small, steps=2000, batch=256, share=0.15),
        "prior": Stage("prior", data=small, parents=on_clip, steps=2000, batch=128, share=0.06),
        "ar_prior": Stage("ar_prior", data=small, parents=on_clip, steps=1000, batch=64, share=0.04),
        "decoder": Stage(
            "decoder", data=small, parents=on_clip, steps=20000, batch=64, muon_lr=4e-3, decay=0.5, share=0.65
        ),
    }
    if upsample:
        large = small | {"size": 256}
        out["upsampler"] = Stage("upsampler", model={"augment": 0.1}, data=large, steps=4000, batch=8, share=0.1)
    return out


def of_one_prior(name: str, prior: str, data: Mapping[str, Any] | None = None) -> Recipe:
    """The hierarchy at 64 px with one of its priors: what a short training of it takes, and nothing else.

    With little time the words take a larger share of it, batches are smaller and steps more.

    Args:
        prior: the stage that is kept, ``prior`` or ``ar_prior``.
        data: of own pictures, or of some of Scenes; None for their level ``one``.
    """
    if data is not None and data["source"] != "scenes":
        whole = stages_of_pictures(data, upsample=False)
    else:
        whole = stages(SCENES | {"levels": {"one": 1.0}} | dict(data or {}), upsample=False)
        short = {"clip": (0.1, 128), "reader": (0.1, 128), "draft": (0.35, 64), "decoder": (0.4, 64)}
        whole |= {k: replace(whole[k], share=share, batch=batch) for k, (share, batch) in short.items()}
    kept = {k: stage for k, stage in whole.items() if k not in ("prior", "ar_prior") or k == prior}
    found = of_pictures(name, kept)
    return replace(found, parts=tuple(part for part in PARTS if part in kept))


def compared(data: Mapping[str, Any] | None = None) -> Recipe:
    """What stands for the hierarchy where systems are compared: the diffusion prior alone, no upsampler."""
    return of_one_prior("unclip", "prior", data)


class UnClip(System):
    """The assembled hierarchy.

    Args:
        parts: ``clip`` and ``prior`` (both or neither), ``decoder``; ``ar_prior`` and ``upsampler`` if trained;
            ``editor``, a decoder that also knows embeddings without words, for :meth:`unclip`.
        assets: tokenizer and known words; the index of the training pictures, if the run made one.
        card: what people should know; ``name``, ``steps``, ``guidance``, ``prior_steps``, ``upsampler_steps`` and
            ``precision`` (fp32, or bf16 for matrix products: twice as fast) are read from it.
    """

    takes_away = True

    def __init__(self, parts: Mapping[str, Family], assets: Mapping[str, bytes], card: Mapping[str, Any]) -> None:
        super().__init__(parts, assets, {"name": "unclip", "steps": 16, "guidance": 2.0, **card})
        self.decoder = _part(parts, "decoder", Decoder)
        if self.decoder is None:
            raise TranhError("this folder has no decoder: export a run whose decoder is trained")
        self.clip, self.upsampler = _part(parts, "clip", Clip), _part(parts, "upsampler", Upsampler, Enhancer)
        both = {"diffusion": _part(parts, "prior", Prior), "autoregressive": _part(parts, "ar_prior", ArPrior)}
        self.priors: dict[str, Prior | ArPrior] = {name: part for name, part in both.items() if part is not None}
        self.prior = next(iter(self.priors), None)
        self.prior_steps, self.upsampler_steps = int(card.get("prior_steps", 8)), int(card.get("upsampler_steps", 4))
        self.size = 256 if self.upsampler is not None else self.decoder.image_size

    @property
    def side(self) -> int:
        return int(self.decoder.image_size)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides of the pictures it makes, in pixels."""
        small = self.decoder.image_size
        return (small,) if self.upsampler is None else (small, small * self.upsampler.scale)

    def embed(self, tokens: Tensor, mask: Tensor, seeds: Sequence[int], prior: str | None = None) -> Tensor | None:
        """CLIP image embeddings for captions: of two candidates the prior draws, the one nearer to the caption.

        Args:
            tokens, mask: (B, T).
            seeds: one per row.
            prior: ``diffusion`` or ``autoregressive``; ``none`` for no embedding; None takes the first there is.

        Returns:
            (B, D), or None for a system without CLIP.
        """
        if prior not in (None, "none", *self.priors):
            raise TranhError(f"{self.name} has no prior {prior!r}; it has: {', '.join((*self.priors, 'none'))}")
        if self.clip is None or self.prior is None or prior == "none":
            return None
        chosen = self.priors[prior or self.prior]
        with self.computing():
            text = self.clip.embed_texts(tokens, mask).float()
            noise = seeded([seed ^ 0x5EED for seed in seeds], (text.shape[-1],))
            both = torch.cat([noise(), noise()])  # two candidates in one call: a third less time
            told = [torch.cat([part, part]) for part in (tokens, mask, text)]
            drawn = chosen.sample(told[0], told[1], told[2], both, steps=self.prior_steps).float()
        return best_of(torch.stack(drawn.chunk(2)), text)

    def embed_images(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> (B, D), unit length."""
        with torch.no_grad(), self.computing():
            return self._clip().embed_images(resized(images, self._clip().config["image_size"])).float()

    def embed_texts(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(B, T) -> (B, D), unit length."""
        with torch.no_grad(), self.computing():
            return self._clip().embed_texts(tokens, mask).float()

    def unclip(self, embeddings: Tensor, prompts: Sequence[str], guidance: float | None = None) -> Denoiser:
        """See :class:`tranh.types.Unclips`; by an editor if there is one, else by the decoder."""
        self._clip()
        with torch.no_grad():
            return self.guided(*self.tokenizer.encode(prompts, multiple=8), embeddings, guidance, decoder=self.editor)

    @property
    def editor(self) -> Decoder | Editor:
        """Who draws embeddings without words: an editor beside it, which learned that, else the decoder."""
        found = (part for part, _ in parts_of(self) if isinstance(part, Editor) and part.clip_in is not None)
        return next(found, self.decoder)

    def _prior(self, prior: str | None, alone: bool) -> str | None:
        """The prior that is meant. A prior is told the whole prompt, so its embedding would bring back what a negative
        prompt or a weight takes away: beside these the caption is ``alone``, unless an embedding is asked for."""
        return "none" if alone and prior is None else prior

    def _clip(self) -> Clip:
        if self.clip is None:
            raise TranhError(f"{self.name} has no CLIP, so it knows no embeddings of pictures: name a whole hierarchy")
        found: Clip = self.clip
        return found

    def guided(
        self,
        tokens: Tensor,
        mask: Tensor,
        clip: Tensor | None,
        guidance: float | None = None,
        negative: str = "",
        decoder: Decoder | Editor | None = None,
    ) -> Denoiser:
        """A decoder for some captions, with classifier-free guidance in it: towards them, away from ``negative``."""
        away = self.tokenizer.encode([negative])  # the empty one is the null caption of training
        with self.computing():
            scale = float(self.card["guidance"] if guidance is None else guidance)
            denoise = (decoder or self.decoder).guided(tokens, mask, clip, scale, away)
        return self.quickly(denoise)

    def denoiser(self, request: Request) -> Denoiser:
        """The guided denoiser of one picture of a request, for samplers and edits."""
        tokens, mask = self.tokenizer.encode([self.understand(request.prompt).text], multiple=8)
        with torch.no_grad():
            clip = self.embed(tokens, mask, [request.seed], self._prior(request.prior, bool(request.negative_prompt)))
            return self.guided(tokens, mask, clip, request.guidance, self.negative(request))

    @torch.no_grad()
    def steps_of(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        size: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        prior: str | None = None,
        negative: str = "",
        sampler: str | None = None,
    ) -> Iterator[Step]:
        """Every denoising step of a batch, decoder first, then the upsampler; the last one's ``x`` is the result.

        Args:
            prompts: as understood, B of them; seeds: one per picture.
            size: side of the pictures, one of ``sizes``.
        """
        size = self.checked_size(size)
        tokens, mask = self.tokenizer.encode(prompts, multiple=8)
        clip = self.embed(tokens, mask, seeds, self._prior(prior, bool(negative)))
        yield from self._walked(self.guided(tokens, mask, clip, guidance, negative), seeds, size, steps)

    @property
    def can_be_steered(self) -> bool:
        return True

    @torch.no_grad()
    def steered(
        self,
        control: Control,
        seeds: Sequence[int],
        size: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        prior: str | None = None,
        sampler: str | None = None,
    ) -> Iterator[Step]:
        def told(words: str, embedded: bool) -> Denoiser:
            tokens, mask = self.tokenizer.encode([words] * len(seeds), multiple=8)
            chosen = self._prior(prior, bool(control.negative) or "weights" in control.names)
            clip = self.embed(tokens, mask, seeds, chosen) if embedded else None
            return self.guided(tokens, mask, clip, 1.0)

        size, scale = self.checked_size(size), float(self.card["guidance"] if guidance is None else guidance)
        yield from self._walked(control.denoiser(told, scale), seeds, size, steps)

    def _walked(self, denoise: Denoiser, seeds: Sequence[int], size: int, steps: int | None) -> Iterator[Step]:
        """From noise to pictures of the decoder's size, and to larger ones."""
        small = self.decoder.image_size
        noise = seeded(seeds, (3, small, small))
        count = int(steps or self.card["steps"])
        total = count + (self.upsampler_steps if size > small else 0)
        x = noise()
        for step in euler(denoise, x, linear(count, last=LAST if count > 1 else 1.0)):
            x = step.x.clamp(-1, 1) if step.index == count else step.x
            yield Step(step.index, total, step.t, x, step.x0)
        if size > small:
            low, start = (1 - AUGMENT) * x + AUGMENT * noise(), [seed ^ 0xB16 for seed in seeds]
            for step in self._enlarged(low, start, self.upsampler_steps, AUGMENT):
                yield Step(count + step.index, total, step.t, step.x, step.x0)

    @torch.no_grad()
    def enlarge(self, images: Tensor, seeds: Sequence[int], steps: int = 1) -> Iterator[Step]:
        """Pictures four times as wide by the upsampler, larger ones than it was trained on in tiles; see
        :class:`tranh.types.Enlarges`.

        Raises:
            TranhError: it has no upsampler, or a side is smaller than the pictures its decoder draws.
        """
        if self.upsampler is None:
            raise TranhError(f"{self.name} has no upsampler, so it cannot enlarge pictures: name a model that has one")
        if min(images.shape[-2:]) < self.decoder.image_size:
            H, W = images.shape[-2:]
            raise TranhError(
                f"the picture is {W} x {H}; {self.name} enlarges pictures of at least {self.decoder.image_size} px a "
                "side. An export of `tranh train enhancer` enlarges any."
            )
        yield from self._enlarged(images, seeds, steps, 0.0)

    def _enlarged(self, small: Tensor, seeds: Sequence[int], steps: int, noisy: float) -> Iterator[Step]:
        """Steps of the upsampler, told how much noise is in the small pictures."""
        upsampler = self.upsampler

        def denoise(xt: Tensor, t: Tensor, low: Tensor) -> Tensor:
            with self.computing():
                return upsampler.denoise(xt, t, low, torch.full_like(t, noisy)).float()

        start = seeded(seeds, (3, *(upsampler.scale * n for n in small.shape[-2:])))()
        yield from euler(tiled(denoise, small, upsampler.scale, self.decoder.image_size), start, upsampler.grid(steps))

    def settings(self, request: Request, prompt: Prompt, seed: int) -> dict[str, Any]:
        told = super().settings(request, prompt, seed)
        prompts = (request.prompt, *(region.prompt for region in request.regions))
        alone = bool(request.negative_prompt) or any(parse(text).spans for text in prompts)
        prior = self._prior(request.prior, alone) or self.prior
        return told | {"prior": prior if self.clip is not None else None}


def _part(parts: Mapping[str, Family], name: str, *kinds: type[Any]) -> Any:
    part = parts.get(name)
    if part is not None and not isinstance(part, kinds):
        allowed = " or ".join(kind.__name__ for kind in kinds)
        raise TranhError(f"part {name!r} is a {type(part).__name__}; it should be a {allowed}")
    return part


def assemble(parts: dict[str, Family], assets: dict[str, bytes], card: dict[str, Any]) -> UnClip:
    """What ``load`` returns for an exported hierarchy (also for ``direct``, which is the decoder alone)."""
    return UnClip(parts, assets, card)
