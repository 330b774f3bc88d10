"""What the Images API can be asked, field by field: what is done, what means the default, and what is refused by name.

It knows neither desk nor model; what a model has no use for is found in ``placed``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, LiteralString

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

LONGEST = 32_000
SEED_LIMIT = 2**53 - 1
"""The largest whole number that JSON keeps exactly everywhere."""

QUALITY = {"low": 0.5, "standard": 1.0, "medium": 1.0, "auto": 1.0, "high": 2.0, "hd": 2.0, "xhigh": 3.0, "max": 4.0}
"""How many of a model's own steps are done."""

SHOWN_QUALITY = {"standard": "medium", "hd": "high"}
"""Qualities that clients know in requests only, and what they are called in replies."""


LEFT: dict[str, tuple[tuple[str, ...], str]] = {
    "background": (("auto", "opaque"), "pictures are opaque"),
    "complexity": ((), "nothing is planned before drawing"),
    "frame_count": ((), "one picture is drawn, no animation"),
    "frame_duration_ms": ((), "one picture is drawn, no animation"),
    "input_fidelity": (("low",), "how much of a picture is kept is said by strength"),
    "output_format": (("png", "jpeg", "webp"), "pictures are not written in any other format"),
    "style": (("vivid",), "the style is said in the prompt"),
    "svg": ((), "pictures are made of pixels"),
}
"""Options of OpenAI's that are not all done here: the values that can be said, and why no other."""


def left(name: str) -> Any:
    """A field of :data:`LEFT`."""
    return Field(None, json_schema_extra={"enum": [*LEFT[name][0], None]})


def _at(field: str, code: LiteralString, said: LiteralString) -> PydanticCustomError:
    """A fault of fields together; ``field`` is the one that is blamed, see :func:`tranh.serve.errors.invalid`."""
    return PydanticCustomError(code, said, {"field": field})


class Asked(BaseModel):
    """What every call can be asked. null is as good as nothing."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(None, max_length=200, description="`dall-e-2` and `dall-e-3` stand for models here.")
    n: Annotated[int, Field(ge=1, le=10)] | None = None
    size: str | None = Field(None, max_length=20, description="`auto` or WxH; a model says its sizes in /v1/models.")
    response_format: Literal["url", "b64_json"] | None = None
    user: str | None = Field(None, max_length=1000, description="A note of the caller's; nothing is done with it.")

    seed: Annotated[int, Field(ge=0, le=SEED_LIMIT)] | None = Field(None, description="Picture k has seed + k.")
    num_inference_steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    steps: Annotated[int, Field(ge=1, le=1000)] | None = Field(None, description="The same as num_inference_steps.")
    guidance_scale: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    cfg_scale: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = Field(
        None, description="The same as guidance_scale."
    )
    negative_prompt: str | None = Field(None, max_length=LONGEST)
    strength: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = Field(
        None, description="How far a picture is changed."
    )
    scheduler: str | None = Field(None, max_length=100, description="A sampler of the model's.")

    @model_validator(mode="after")
    def _once(self) -> Asked:
        for name, other in (("num_inference_steps", "steps"), ("guidance_scale", "cfg_scale")):
            both = getattr(self, name), getattr(self, other)
            if None not in both and both[0] != both[1]:
                raise _at(other, "invalid_value", f"{other} and {name} mean the same: say one of them")
        return self

    @field_validator(*LEFT, mode="before", check_fields=False)
    @classmethod
    def _left(cls, value: Any, info: ValidationInfo) -> Any:
        values, why = LEFT[str(info.field_name)]
        if value is not None and (not isinstance(value, str) or value not in values):
            allowed = f"leave it out{', or say ' if values else ''}{', '.join(values)}"
            raise PydanticCustomError("unsupported_parameter", "{why}: {allowed}", {"why": why, "allowed": allowed})
        return value

    def named(self) -> dict[str, tuple[str, Any]]:
        """What was said that a tool is told: its name for the tool -> the name it was sent by, and the value."""
        return {
            tools: (name, value)
            for name, tools in NAMES.items()
            if (value := getattr(self, name, None)) is not None and value != ""
        }


NAMES = {
    "prompt": "prompt", "n": "count", "seed": "seed", "num_inference_steps": "steps", "steps": "steps",
    "guidance_scale": "guidance", "cfg_scale": "guidance", "negative_prompt": "negative_prompt",
    "strength": "strength", "scheduler": "sampler",
}  # fmt: skip
"""What a client calls a field -> what a tool calls it."""


class Drawn(Asked):
    """What calls with a prompt can be asked."""

    prompt: str = Field(
        min_length=1,
        max_length=LONGEST,
        description="It is kept in the picture's file, twice; there all texts of a call have 9,000 bytes.",
    )
    quality: Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"] | None = Field(
        None, description="low does half of the model's own steps, high twice, xhigh three and max four times as many."
    )
    output_format: Any = left("output_format")
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = Field(None, description="Of jpeg and webp.")
    stream: bool | None = None
    partial_images: Annotated[int, Field(ge=0, le=3)] | None = Field(None, description="With stream.")
    safety_identifier: str | None = Field(None, max_length=1000, description="A note; it is told back.")

    background: Any = left("background")
    complexity: Any = left("complexity")
    frame_count: Any = left("frame_count")
    frame_duration_ms: Any = left("frame_duration_ms")
    svg: Any = left("svg")

    @model_validator(mode="after")
    def _together(self) -> Drawn:
        if self.partial_images and not self.stream:
            raise _at("partial_images", "invalid_value", "partial_images are sent in a stream: say stream too")
        if self.stream and self.response_format == "url":
            said = "response_format: a stream carries pictures, no links"
            raise _at("response_format", "unsupported_parameter", said)
        if self.output_compression not in (None, 100) and (self.output_format or "png") == "png":
            said = "output_compression is for jpeg and webp: a png loses nothing"
            raise _at("output_compression", "invalid_value", said)
        return self


class Generation(Drawn):
    """A call of ``/v1/images/generations``."""

    model_config = ConfigDict(extra="forbid", strict=True)  # in JSON a number is a number

    moderation: Literal["low", "auto"] | None = Field(None, description="Nothing is moderated here.")
    style: Any = left("style")


class Edit(Drawn):
    """The fields of ``/v1/images/edits`` that are no files."""

    input_fidelity: Any = left("input_fidelity")


class Variation(Asked):
    """The fields of ``/v1/images/variations`` that are no files."""
