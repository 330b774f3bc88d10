"""Style transfer: a picture as words say it should be drawn, or as another picture is drawn.

It knows no family. Words are followed as an instruction; a reference picture goes through its CLIP embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tranh.recipes.instruct import instruct
from tranh.recipes.toolbox import likened
from tranh.text.lexicon import fill
from tranh.types import Event, Request, TranhError

NAMED = "ask.style"
"""The pattern of a lexicon that asks for a style."""


def restyle(system: Any, request: Request) -> Iterator[Event]:
    """``request.image`` in the style that ``request.prompt`` names ("in watercolour"), or of ``request.other``.

    Of a reference the embedding is drawn nearer to its own by ``strength`` (0.5), from the picture's own noise.

    Yields:
        Progress; the last event's ``result`` is :class:`tranh.recipes.pictures.Pictures`.

    Raises:
        TranhError: neither or both are given, or the system cannot.
    """
    if (request.other is None) == (not request.prompt):
        raise TranhError("say the style in words, or give a picture that is drawn in it: one of the two")
    events = likened(system, request) if request.other is not None else instruct(system, _asked(system, request))
    for event in events:
        if event.result is not None:
            for told in event.result.settings:
                told |= {"edit": "restyle", "prompt": request.prompt}
        yield event


def _asked(system: Any, request: Request) -> Request:
    """The request as an instruction, in the language of its words."""
    prompt = system.understand(request.prompt, request.allow_unknown)
    lexicon = next((one for one in system.lexicons if one.language == prompt.language), system.lexicons[0])
    pattern = lexicon.able(NAMED, frozenset({"style"}))[0]
    return request.replace(prompt=lexicon.finish(fill(pattern, {"style": prompt.text})))
