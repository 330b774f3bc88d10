"""Words that options take, for more than one verb."""

from __future__ import annotations

from enum import Enum


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
