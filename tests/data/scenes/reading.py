"""A reader of sentences about scenes, that shares nothing with the speaker but the lexicon."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from tranh.data.scenes import world
from tranh.data.scenes.captions import OPPOSITE, VOCABULARY
from tranh.text.lexicon import Lexicon

FRENCH = Lexicon.read(Path(__file__).parents[2] / "text" / "fr.toml")
LANGUAGES: tuple[Lexicon, ...] = (Lexicon.load("en"), Lexicon.load("vi"), FRENCH)


@cache
def phrases(lexicon: Lexicon) -> dict[tuple[str, ...], tuple[str, str]]:
    """Every phrase of the vocabulary as words -> what it says."""
    found: dict[tuple[str, ...], tuple[str, str]] = {}
    for group, values in VOCABULARY.items():
        for value in values:
            for word in lexicon.words(group, value):
                for form in word.forms:
                    found.setdefault(tuple(re.findall(r"[^\W_]+", form)), (group, value))
    return found


def read(text: str, lexicon: Lexicon) -> set[tuple[str, str]]:
    """What a caption says, reading the longest phrase first; relations turned to their canonical direction."""
    if lexicon is FRENCH:
        text = re.sub(r"\bdu ", "de le ", text)
        text = re.sub(r"\bd'", "de ", text)
    # Punctuation stays, so that no phrase is read across it: "at the top, left of" is not "at the top left".
    words = re.findall(r"[^\W_]+|[,;:]", text)
    known, at, said = phrases(lexicon), 0, set()
    while at < len(words):
        for length in range(min(8, len(words) - at), 0, -1):
            if meaning := known.get(tuple(words[at : at + length])):
                said.add(meaning)
                at += length
                break
        else:
            at += 1
    own = world.FACT_GROUPS["relation"]
    turned = {(g, OPPOSITE[v] if g == "relation" and v not in own else v) for g, v in said}
    return {(g, v) for g, v in turned if g != "number" and v != "thing"}
