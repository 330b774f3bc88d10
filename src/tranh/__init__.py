"""Tranh: a sentence in, a faithful picture out. Importing it is quick; torch is loaded with the first model."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(name: str = "tranh-1") -> Any:
    """A system that makes pictures, by the name of a shipped model or the path of an exported folder.

    ``tranh.load("tranh-1").generate("một hình tròn đỏ lớn")`` returns PIL pictures.

    Raises:
        TranhError: no such model, or its folder is damaged.
    """
    from tranh.recipes.models import load as load_model

    return load_model(name)
