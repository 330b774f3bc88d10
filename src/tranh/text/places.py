"""Where a box lies, in words: a prompt for a part of a picture also says the part.

It knows lexicons and boxes, not what is drawn. A model that was taught places draws a thing where it is said to be, and
the box has only to keep it there; a thing said to be anywhere is cut by the edges of its box.
"""

from __future__ import annotations

import re

from tranh.text.lexicon import Lexicon
from tranh.text.prompt import Prompt
from tranh.text.words import WORD, Words

GROUP = "place"
ROWS, COLUMNS = ("top", "", "bottom"), ("left", "", "right")


def name(left: float, top: float, right: float, bottom: float) -> str:
    """The ninth of a picture in which the middle of a box lies, as lexicons call it: ``top_left``, ``centre``.

    Edges are shares of the side, from 0 to 1.
    """
    row, column = (min(2, int(3 * (low + high) / 2)) for low, high in ((top, bottom), (left, right)))
    return "_".join(filter(None, (ROWS[row], COLUMNS[column]))) or "centre"


def placed(prompt: Prompt, box: tuple[float, float, float, float], lexicons: list[Lexicon], known: Words) -> str:
    """The text of a prompt, with the place of its box in words behind it.

    It stays as it is if it says a place already, if its language is not known, or the model was never taught the words.
    """
    for lexicon in lexicons:
        if lexicon.language != prompt.language or GROUP not in lexicon.groups:
            continue
        said = [str(word) for words in lexicon.groups[GROUP].values() for word in words]
        if any(re.search(rf"\b{re.escape(words)}\b", prompt.text) for words in said):
            return prompt.text
        place = str(lexicon.words(GROUP, name(*box))[0])
        if all(word in known for word in WORD.findall(place)):
            return f"{prompt.text.rstrip(' .,;')} {place}"
    return prompt.text
