"""What a request says beyond one prompt: weights of words, parts with prompts of their own, times of guidance.

It knows prompts and denoisers and no system: whoever can be told a prompt is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tranh.diffusion.compose import guided, regional, weighed
from tranh.text.lexicon import Lexicon
from tranh.text.places import placed
from tranh.text.prompt import Prompt
from tranh.text.weights import Span, parse, without
from tranh.text.words import WORD, Words
from tranh.types import Denoiser, Region, Request, TranhError

Told = Callable[[str, bool], Denoiser]
"""The denoiser of a prompt as understood, without guidance; whether an embedding may say more than the prompt does."""


class Reads(Protocol):
    """What is asked of a system: how it reads a prompt, its languages, the words it was taught."""

    lexicons: list[Lexicon]
    words: Words

    def understand(self, prompt: str, allow_unknown: bool = False) -> Prompt: ...


@dataclass(frozen=True)
class Said:
    """A prompt as understood, the text that the model is told, and the weights of its words."""

    prompt: Prompt
    text: str
    spans: tuple[Span, ...] = ()

    def denoiser(self, told: Told, negative: str = "") -> Denoiser:
        """Without guidance. What words add is seen without an embedding: that would say them in any case.

        Args:
            negative: words whose addition is taken away once.
        """
        text, terms = self.text, []
        for span in self.spans:
            if span.weight != 1:
                terms.append((span.weight, told(text, False), told(without(text, [span]), False)))
        if negative:
            terms.append((0.0, told(f"{text.rstrip(' .,;')}, {negative}", False), told(text, False)))
        return weighed(told(text, True), terms)


@dataclass(frozen=True)
class Control:
    """All of it, for one request."""

    whole: Said
    parts: tuple[tuple[Region, Said], ...]
    negative: str
    interval: tuple[float, float]

    @property
    def said(self) -> tuple[Said, ...]:
        """Every prompt of it."""
        return (self.whole, *(said for _, said in self.parts))

    @property
    def names(self) -> tuple[str, ...]:
        """What of it is used; nothing of it for a plain request."""
        used = {
            "weights": any(said.spans for said in self.said),
            "regions": bool(self.parts),
            "guidance_interval": self.interval != (0.0, 1.0),
        }
        return tuple(name for name, is_used in used.items() if is_used)

    def denoiser(self, told: Told, scale: float) -> Denoiser:
        """The denoiser of the request.

        A negative prompt acts twice: in the place of the empty one, and by what it would add to the prompt. Either
        alone left more than half of what was named; twice as much of the second cost the prompt's own things.

        Args:
            scale: of guidance, away from the negative prompt or the empty one.
        """
        null = told(self.negative, False)

        def of(said: Said) -> Denoiser:
            return guided(null, said.denoiser(told, self.negative), scale, self.interval)

        boxes = [((r.left, r.top, r.right, r.bottom), of(said)) for r, said in self.parts]
        return regional(of(self.whole), boxes)


def control_of(request: Request, reader: Reads) -> Control:
    """What a request says, understood.

    Raises:
        TranhError: a weight, a box or an interval that cannot be meant, or a word the model was never taught.
    """
    interval = request.guidance_interval or (0.0, 1.0)
    if not (len(interval) == 2 and 0 <= interval[0] < interval[1] <= 1):
        raise TranhError(
            f"guidance_interval is {list(interval)}; allowed: two times from 0 (the picture) to 1 (pure noise), such "
            "as 0.2,0.9"
        )
    for region in request.regions:
        box = (region.left, region.top, region.right, region.bottom)
        if not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
            raise TranhError(
                f"the box of {region.prompt!r} is {list(box)}; it is left,top,right,bottom from 0 to 1, such as "
                "0,0,0.5,1 for the left half"
            )
    if request.negative_prompt and parse(request.negative_prompt).spans:
        raise TranhError("the negative prompt has weights; only prompts have them: leave them out there")
    negative, unknown = "", request.allow_unknown
    if request.negative_prompt:
        negative = reader.understand(request.negative_prompt, unknown).text
    whole, parts = _said(request.prompt, reader, unknown), []
    for region in request.regions:
        said, box = _said(region.prompt, reader, unknown), (region.left, region.top, region.right, region.bottom)
        parts.append((region, replace(said, text=placed(said.prompt, box, reader.lexicons, reader.words))))
    low, high = interval
    return Control(*_joined(whole, parts), negative, (float(low), float(high)))


def _joined(whole: Said, parts: list[tuple[Region, Said]]) -> tuple[Said, tuple[tuple[Region, Said], ...]]:
    """Every part hears what the whole shows, and the whole what its parts do: what all draw then fits together.

    Words are put behind those that are weighed, which keep their numbers.
    """

    def with_(said: Said, others: list[Said]) -> Said:
        return replace(said, text=", ".join([said.text.rstrip(" .,;"), *(other.text for other in others)]))

    if not parts:
        return whole, ()
    every = [said for _, said in parts]
    return with_(whole, every), tuple((region, with_(said, [whole])) for region, said in parts)


def settings_of(request: Request, control: Control) -> dict[str, Any]:
    """What repeats it, beside what repeats a plain picture."""
    told: dict[str, Any] = {}
    if "weights" in control.names:
        told["prompt"] = request.prompt
    if control.parts:
        told["regions"] = [
            {"prompt": r.prompt, "understood": said.text, "box": [r.left, r.top, r.right, r.bottom]}
            for r, said in control.parts
        ]
    if "guidance_interval" in control.names:
        told["guidance_interval"] = list(control.interval)
    return told


def _said(text: str, reader: Reads, allow_unknown: bool) -> Said:
    weighted = parse(text)
    prompt = reader.understand(weighted.text, allow_unknown)
    typed, read = (len(WORD.findall(one)) for one in (weighted.text, prompt.text))
    if weighted.spans and typed != read:
        raise TranhError(
            f"{text!r} is read as {prompt.text!r}, where the weighed words cannot be found again: write it like that"
        )
    return Said(prompt, prompt.text, weighted.spans)
