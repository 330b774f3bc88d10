"""Options of more than one verb, and the words they take."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

SEED_LIMIT = 2**53 - 1
"""The largest whole number that JSON keeps exactly everywhere."""

Picture = Annotated[Path, typer.Argument(metavar="PICTURE", help="The file to begin from.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="The file to write.", show_default="out.png")]
Count = Annotated[int, typer.Option(min=1, max=1000, help="How many pictures; each is named by its seed.")]
Seed = Annotated[int, typer.Option(min=0, max=SEED_LIMIT, help="Of the first picture; the next has seed + 1.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Denoising steps.", show_default="the model's own")]
Guidance = Annotated[float | None, typer.Option(help="Classifier-free guidance scale.", show_default="the model's own")]
Size = Annotated[int | None, typer.Option(min=1, help="Pixels per side.", show_default="the model's own")]
Model = Annotated[str, typer.Option(help="A name from `tranh models`, or an exported folder.")]
Sampler = Annotated[str | None, typer.Option(help="As for `generate`.", show_default="the model's own")]
Negative = Annotated[str, typer.Option(help="What the picture should not show.", show_default=False)]
Unknown = Annotated[
    bool, typer.Option("--allow-unknown", help="Go on although there are words the model was never taught.")
]


class Format(str, Enum):
    png = "png"
    webp = "webp"
    jpeg = "jpeg"


class Prior(str, Enum):
    diffusion = "diffusion"
    autoregressive = "autoregressive"
    none = "none"


class Target(str, Enum):
    tranh = "tranh"
    diffusers = "diffusers"
    transformers = "transformers"


class Dtype(str, Enum):
    bf16 = "bf16"
    fp16 = "fp16"
    fp32 = "fp32"
    int8 = "int8"


class Language(str, Enum):
    en = "en"
    vi = "vi"
    both = "both"


class Shape(str, Enum):
    crop = "crop"
    letterbox = "letterbox"
