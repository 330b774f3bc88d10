"""Everything a model can be asked for, as one table: ``generate`` and every edit, called alike.

Server, studio and Python read it: what a tool is told, what it gives, and whether a model has it. It imports no recipe
until a tool is used, so that listing the tools is quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Literal

from PIL.Image import Image

from tranh.recipes.fields import Asked, Field, asked
from tranh.types import Event, Request, TranhError

PIPELINES = {"guidance": "guidance_scale", "negative_prompt": "negative_prompt"}
"""Fields that not every pipeline of diffusers has a use for, and what their arguments are called."""

SEED_LIMIT = 2**53 - 1
"""The largest whole number that JSON keeps exactly everywhere."""

LONGEST = 32_000
"""Letters of a prompt; how many of them are read, the model says."""


@dataclass(frozen=True)
class Tool:
    """Something to ask a model for.

    Attributes:
        title: one line for people, by language.
        does: ``module:function`` of (system, request, **options); the last event's ``result`` is ``Pictures``.
        can: ``module:function`` of (system) that raises a TranhError where the system cannot.
        fields: what it is told.
        options: those of its fields that ``does`` takes beside the request.
        gives: pictures, or the frames of an animation; ``fps`` and ``loop`` are then for whoever writes it.
    """

    name: str
    title: Mapping[str, str]
    does: str
    can: str
    fields: tuple[Field, ...]
    options: tuple[str, ...] = ()
    gives: Literal["pictures", "animation"] = "pictures"

    def run(self, system: Any, request: Request, options: Mapping[str, Any] | None = None) -> Iterator[Event]:
        """Do it. Options left out are the tool's own.

        Raises:
            TranhError: the system cannot, or the request cannot be met.
        """
        told = {name: value for name, value in (options or {}).items() if name in self.options}
        events: Iterator[Event] = _found(self.does)(system, request, **told)
        return events

    def who(self, system: Any) -> str | None:
        """Why a system cannot do it, or None if it can; nothing is computed."""
        try:
            _found(self.can)(system)
        except TranhError as error:
            return str(error)
        return None

    def fields_of(self, system: Any) -> tuple[Field, ...]:
        """Its fields as they are for one system: without what that has no use for, with its own sizes and choices."""
        return tuple(found for field in self.fields if (found := _narrowed(field, system)) is not None)

    def asked(self, values: Mapping[str, Any], picture: Callable[[str], Image]) -> Asked:
        """A request, and options, of plain JSON values; see :func:`tranh.recipes.fields.asked`."""
        return asked(self.fields, values, picture)


def _found(place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    call: Callable[..., Any] = getattr(import_module(module), name)
    return call


def _narrowed(field: Field, system: Any) -> Field | None:
    """A field as it is for one system; None if that has no use for it."""
    if field == SIZE:
        sizes = tuple(getattr(system, "sizes", ()))
        return replace(field, choices=sizes) if sizes else field
    if field.name == "sampler":
        samplers = tuple(getattr(system, "samplers", ()))
        return replace(field, choices=samplers) if samplers else None
    if field.name == "prior":
        priors = tuple(getattr(system, "priors", ()))
        return replace(field, choices=(*priors, "none")) if priors else None
    if field.name in ("temperature", "top_k", "top_p"):
        return field if getattr(system, "writes_codes", False) else None
    if field.name in PIPELINES and hasattr(system, "takes") and PIPELINES[field.name] not in system.takes:
        return None
    if field.name in ("steps", "guidance") and field.default is None:
        return replace(field, default=getattr(system, field.name, None))
    return field


PROMPT = Field("prompt", "text", high=LONGEST, needed=True)
SAID = replace(PROMPT, needed=False, default="")
NEGATIVE = Field("negative_prompt", "text", "", high=LONGEST)
SOURCE = Field("source", "text", "", high=LONGEST)
IMAGE = Field("image", "picture", needed=True)
OTHER = Field("other", "picture")
MASK = Field("mask", "mask", needed=True)
COUNT = Field("count", "int", 1, low=1, high=1000)
SEED = Field("seed", "int", 0, low=0, high=SEED_LIMIT)
EACH_WAY = Field("steps", "int", 24, low=4, high=1000)
STEPS = Field("steps", "int", low=1, high=1000)
GUIDANCE = Field("guidance", "float", low=0, high=100)
SIZE = Field("size", "int", low=1, high=4096)
SEEDS = replace(SEED, name="seeds", default=None, many=1000)
PRIOR = Field("prior", "choice", choices=("diffusion", "autoregressive", "none"))
EXPAND = Field("expand", "bool", False)
REFUSE = Field("refuse_copies", "bool", False)
REGIONS = Field("regions", "region", low=0, high=1, many=16)
INTERVAL = Field("guidance_interval", "float", low=0, high=1, many=2, fewest=2)
SAMPLER = Field("sampler", "choice")
LARGE = replace(SIZE, low=17)
DRAWN = (COUNT, SEED, STEPS, GUIDANCE)
CANDIDATES = Field("candidates", "int", 1, low=1, high=1000)
UNKNOWN = Field("allow_unknown", "bool", False)
WHILE = Field("while_sampling", "bool", False)
FPS = Field("fps", "float", 12.0, low=1, high=100)
LOOP = Field("loop", "bool", True)
CODES = (
    Field("temperature", "float", low=0, high=100),
    Field("top_k", "int", low=0, high=1_000_000),
    Field("top_p", "float", low=0, high=1),
)


def _strength(default: float) -> Field:
    return Field("strength", "float", default, low=0, high=1)


def _frames(default: int, most: int) -> Field:
    return Field("frames", "int", default, low=2, high=most)


def _titled(english: str, vietnamese: str) -> Mapping[str, str]:
    return {"en": english, "vi": vietnamese}


EDITS = "tranh.recipes.tool_calls"
TOOLBOX = "tranh.recipes.toolbox"

_TOOLS = (
    Tool(
        "generate",
        _titled("Make pictures of a sentence", "Vẽ tranh từ một câu"),
        f"{EDITS}:generate",
        f"{EDITS}:generates",
        (
            PROMPT, NEGATIVE, COUNT, SEED, SEEDS, STEPS, GUIDANCE, SIZE, SAMPLER, PRIOR, CANDIDATES, EXPAND, REFUSE,
            REGIONS, INTERVAL, *CODES, UNKNOWN,
        ),
    ),
    Tool(
        "variation",
        _titled("Draw other pictures that mean the same", "Vẽ những bức khác cùng ý nghĩa"),
        f"{TOOLBOX}:vary",
        f"{TOOLBOX}:able",
        (IMAGE, SOURCE, _strength(0.5), COUNT, SEED, CANDIDATES, GUIDANCE, EACH_WAY, SIZE, UNKNOWN),
    ),
    Tool(
        "reconstruct",
        _titled("Draw a picture again from what the model keeps of it", "Vẽ lại một bức tranh từ những gì mô hình nhớ"),
        f"{TOOLBOX}:reconstruct",
        f"{TOOLBOX}:able",
        (IMAGE, SOURCE, EACH_WAY, SIZE, SEED, UNKNOWN),
    ),
    Tool(
        "textdiff",
        _titled("Move a picture from one caption to another", "Đưa bức tranh từ lời tả này sang lời tả khác"),
        f"{TOOLBOX}:diff",
        f"{TOOLBOX}:able",
        (
            IMAGE, PROMPT, SOURCE, _strength(1.0), COUNT, SEED, CANDIDATES, replace(GUIDANCE, default=2.5), EACH_WAY,
            SIZE, UNKNOWN,
        ),
    ),
    Tool(
        "interpolate",
        _titled("Walk from one picture to another", "Đi dần từ bức tranh này sang bức tranh khác"),
        f"{TOOLBOX}:interpolate",
        f"{TOOLBOX}:able",
        (IMAGE, replace(OTHER, needed=True), SOURCE, SAID, _frames(8, 1000), SEED, EACH_WAY, SIZE, UNKNOWN),
    ),
    Tool(
        "sweep",
        _titled("Less and more of a component of what a picture means", "Bớt và thêm một thành phần ý nghĩa của tranh"),
        f"{TOOLBOX}:swept",
        f"{EDITS}:sweeps",
        (
            IMAGE, Field("component", "int", 1, low=1, high=4096), SOURCE, _frames(7, 1000), SEED, EACH_WAY, SIZE,
            UNKNOWN,
        ),
        ("component",),
    ),
    Tool(
        "inpaint",
        _titled("Draw something into a part of a picture", "Vẽ thêm vào một phần của bức tranh"),
        "tranh.recipes.inpaint:inpaint",
        "tranh.recipes.inpaint:able_part",
        (IMAGE, MASK, PROMPT, NEGATIVE, *DRAWN, SAMPLER, WHILE, UNKNOWN),
        ("while_sampling",),
    ),
    Tool(
        "outpaint",
        _titled("Draw on beyond the borders of a picture", "Vẽ tiếp ra ngoài mép bức tranh"),
        "tranh.recipes.inpaint:outpaint",
        "tranh.recipes.inpaint:able_part",
        (
            IMAGE, PROMPT, Field("extend", "box", (0.25, 0.25, 0.25, 0.25), low=0, high=4), NEGATIVE, *DRAWN,
            SAMPLER, WHILE, UNKNOWN,
        ),
        ("while_sampling",),
    ),
    Tool(
        "img2img",
        _titled("Draw a picture again as a sentence says", "Vẽ lại bức tranh theo lời một câu"),
        "tranh.recipes.img2img:img2img",
        "tranh.recipes.img2img:able",
        (IMAGE, PROMPT, _strength(0.6), NEGATIVE, *DRAWN, SIZE, UNKNOWN),
    ),
    Tool(
        "instruct",
        _titled("Change a picture as an instruction says", "Sửa bức tranh theo một lời bảo"),
        "tranh.recipes.instruct:instruct",
        "tranh.recipes.instruct:able_part",
        (IMAGE, PROMPT, *DRAWN, SIZE, UNKNOWN),
    ),
    Tool(
        "restyle",
        _titled("Draw a picture in another style", "Vẽ bức tranh theo phong cách khác"),
        "tranh.recipes.restyle:restyle",
        f"{EDITS}:restyles",
        (IMAGE, SAID, OTHER, _strength(0.5), SOURCE, *DRAWN, SIZE, UNKNOWN),
    ),
    Tool(
        "upscale",
        _titled("Make a picture larger", "Phóng to bức tranh"),
        f"{EDITS}:upscale",
        f"{EDITS}:enlarges",
        (
            IMAGE, Field("factor", "choice", choices=(4, 16, 64)), LARGE, Field("sampled", "bool", False),
            replace(STEPS, low=2), SEED, COUNT,
        ),
        ("factor", "sampled"),
    ),
    Tool(
        "enhance",
        _titled("Mend a poor picture", "Sửa bức ảnh kém chất lượng"),
        f"{EDITS}:enhance",
        f"{EDITS}:mends",
        (IMAGE, Field("straighten", "bool", True)),
        ("straighten",),
    ),
    Tool(
        "complete",
        _titled("Keep the top of a picture and draw the rest", "Giữ phần trên của tranh và vẽ phần còn lại"),
        f"{EDITS}:complete",
        f"{EDITS}:completes",
        (IMAGE, PROMPT, Field("rows", "float", 0.5, low=0, high=0.999), COUNT, SEED, GUIDANCE, *CODES, UNKNOWN),
        ("rows",),
    ),
    Tool(
        "latent",
        _titled("Walk through the latent space of a model", "Đi dạo trong không gian ẩn của mô hình"),
        f"{EDITS}:latent",
        f"{EDITS}:moves",
        (
            IMAGE, OTHER, Field("attribute", "text", high=100), Field("against", "text", high=100),
            Field("level", "choice", "one", choices=("one", "two", "full")), _frames(8, 64),
        ),
        ("attribute", "against", "level"),
    ),
    Tool(
        "denoise",
        _titled("Take the noise out of a picture", "Khử nhiễu bức tranh"),
        f"{EDITS}:denoise",
        f"{EDITS}:coder",
        (IMAGE, Field("noise", "float", 0.0, low=0, high=2), Field("rounds", "int", 1, low=1, high=100), SEED),
        ("noise", "rounds"),
    ),
    Tool(
        "fill",
        _titled("Fill in a missing part of a picture", "Lấp phần bị thiếu của bức tranh"),
        f"{EDITS}:fill",
        f"{EDITS}:coder",
        (
            IMAGE, replace(MASK, needed=False), Field("box", "box", (0.5, 0.0, 1.0, 1.0), low=0, high=1),
            Field("rounds", "int", 30, low=1, high=1000),
        ),
        ("box", "rounds"),
    ),
    Tool(
        "animate",
        _titled("A walk between sentences and pictures", "Chuyến đi giữa các câu và các bức tranh"),
        f"{EDITS}:animate",
        "tranh.recipes.walks:able",
        (
            Field("keys", "key", high=LONGEST, needed=True, many=64, fewest=1),
            replace(SEEDS, many=64), _frames(24, 1000), SEED, Field("even", "bool", True),
            LOOP, STEPS, GUIDANCE, SIZE, FPS, UNKNOWN,
        ),
        ("keys", "even", "loop"),
        "animation",
    ),
    Tool(
        "motion",
        _titled("A moving picture of a sentence", "Tranh chuyển động từ một câu"),
        "tranh.recipes.moving:moving",
        "tranh.recipes.moving:able_part",
        (PROMPT, replace(IMAGE, needed=False), _frames(16, 64), SEED, STEPS, GUIDANCE, FPS, LOOP, UNKNOWN),
        gives="animation",
    ),
    Tool(
        "turn",
        _titled("See a picture from side to side", "Nhìn bức tranh từ bên này sang bên kia"),
        "tranh.recipes.turn:turn",
        "tranh.recipes.turn:able_parts",
        (
            IMAGE, SAID, Field("shift", "float", 0.05, low=0.001, high=0.5), _frames(24, 256), SEED, STEPS, FPS, LOOP,
            UNKNOWN,
        ),
        ("shift",),
        "animation",
    ),
)  # fmt: skip

TOOLS: Mapping[str, Tool] = {tool.name: tool for tool in _TOOLS}


def tool(name: str) -> Tool:
    """The tool of a name.

    Raises:
        TranhError: there is none.
    """
    if name not in TOOLS:
        raise TranhError(f"there is no tool {name!r}; allowed: {', '.join(TOOLS)}")
    return TOOLS[name]
