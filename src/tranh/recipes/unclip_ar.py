"""The hierarchy with the autoregressive prior alone, at 64 px: the other half of the comparison of the two priors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tranh.recipes.unclip import of_one_prior
from tranh.types import Recipe


def recipe(data: Mapping[str, Any] | None = None) -> Recipe:
    """CLIP, the autoregressive prior and the decoder with its helpers, on level ``one`` of Scenes or own pictures."""
    return of_one_prior("unclip_ar", "ar_prior", data)
