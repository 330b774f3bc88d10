"""What is said of a sequence of frames: what moves and how, in any language that has a lexicon.

It knows sentences and not pictures.
"""

from __future__ import annotations

from tranh.text.lexicon import Lexicon

from .captions import ATTRIBUTES, SILENT, Draw, Speaker, voice
from .facts import visible
from .frames import DIRECTIONS, Moving

UNCERTAIN = {
    **dict.fromkeys(DIRECTIONS, ("place",)),
    "grow": ("size",),
    "shrink": ("size",),
    "appear": (),
    "recolour": (),
}
"""Facts of the moving thing that are not said of a sequence, as they do not hold in all of it."""


def told(moving: Moving, language: str | Lexicon, draw: Draw, dense: bool = True) -> str:
    """A sentence about a sequence: what moves and how, what stands beside it, and where.

    Args:
        language: ``en``, ``vi``, ``vi_unmarked`` (Vietnamese typed without diacritics), or a lexicon.
        dense: say everything that holds in all frames; else kind, colour and motion of what moves.
    """
    lexicon, typed = voice(language)
    scene = moving.scenes[0 if moving.motion == "recolour" else -1]
    facts = [f for f in visible(scene) if f.group not in ("count", "light", "style")]
    speaker = Speaker(scene, facts, lexicon, draw)
    groups = [g for g in (ATTRIBUTES if dense else ("colour",)) if g not in UNCERTAIN[moving.motion]]
    unit = next(unit for unit in speaker.units if unit.members == (moving.subject,))
    slots = {"thing": speaker.mention(unit, groups)}
    if moving.motion == "recolour":
        new, noun = moving.scenes[-1].things[moving.subject], unit.words["kind"].noun_class
        slots["colour"] = speaker.word("colour", new.colour).form(noun)
        if SILENT["shade"] != new.shade:
            slots["shade"] = speaker.word("shade", new.shade).form(noun)
    pieces = [speaker.template(f"motion.{moving.motion}", slots)]
    pieces += [speaker.mention(other) for other in speaker.units if dense and other is not unit]
    whole = {"setting": scene.setting} if dense or speaker.chance(0.3) else {}
    return typed(speaker.picture(speaker.enumerate(pieces, plain=True), whole))
