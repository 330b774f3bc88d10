"""Names that a model was taught after its training: where they stand in a prompt, and the tokens they are read as.

It knows neither pictures nor where what was learned is kept. A name stands in a prompt as ``<name>``, or bare.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tranh.text.normalise import normalise
from tranh.text.tokenizer import NULL, Tokenizer
from tranh.text.words import WORD, Words
from tranh.types import TranhError

LONGEST = 32
"""Letters of a name at most."""
BRACKETED = re.compile(r"<([^<>\s]+)>")


def checked_name(name: str, words: Words | None = None) -> str:
    """A name as it is kept.

    Args:
        words: of the model; its own words cannot be names. None where they are not known.

    Raises:
        TranhError: it is not one word of 2 to 32 letters and digits, or a word the model knows already.
    """
    found = normalise(name.removeprefix("<").removesuffix(">"))
    if not WORD.fullmatch(found) or not 2 <= len(found) <= LONGEST or not found[0].isalpha():
        raise TranhError(
            f"the name is {name!r}; a name is one word of 2 to {LONGEST} letters and digits that begins with a letter"
        )
    if words is not None and found in words:
        raise TranhError(f"{found!r} is a word this model knows already: choose a name of your own, such as {found}1")
    return found


def spoken_of(text: str, names: Iterable[str]) -> list[str]:
    """Those of some names that a normalised prompt has, in the order they come first."""
    at = {name: found.start() for name in names if (found := name_pattern(name).search(text))}
    return sorted(at, key=at.__getitem__)


def bracketed(text: str) -> list[str]:
    """Every ``<name>`` of a normalised prompt, known or not."""
    return BRACKETED.findall(text)


def with_names(words: Words, names: Iterable[str]) -> Words:
    """The words of a model and some names beside them."""
    return Words({**words.counts, **dict.fromkeys(names, 1)}, words.pairs)


class NamingTokenizer(Tokenizer):
    """A tokenizer that reads some names as tokens of their own; everything else as the one it is made of.

    Args:
        base: of the model.
        names: name -> its tokens.
    """

    def __init__(self, base: Tokenizer, names: Mapping[str, Sequence[int]]) -> None:
        super().__init__(base.vocab, base.merges, base.max_length)
        self.names = {name: (name_pattern(name), list(tokens)) for name, tokens in names.items()}

    def ids(self, caption: str) -> list[int]:
        return self._named(caption, self._bpe.encode(caption, add_special_tokens=False))

    def _rows(self, captions: Sequence[str]) -> list[list[int]]:
        encoded = self._bpe.encode_batch(list(captions), add_special_tokens=False)
        return [self._named(*one) or [NULL] for one in zip(captions, encoded, strict=True)]

    def _named(self, text: str, encoding: Any) -> list[int]:
        """The ids, with those that lie in a name replaced by the name's."""
        found = [(m.span(), tokens) for pattern, tokens in self.names.values() for m in pattern.finditer(text)]
        out: list[int] = []
        said: set[tuple[int, int]] = set()
        for number, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            blank = not text[start:end].strip()  # the space before a name belongs to it
            inside = next((one for one in found if start < one[0][1] and end + blank > one[0][0]), None)
            if inside is None:
                out.append(number)
            elif inside[0] not in said:
                said.add(inside[0])
                out += inside[1]
        return out


def name_pattern(name: str) -> re.Pattern[str]:
    """What a name looks like in a normalised text: ``<name>``, or the name as a word."""
    return re.compile(rf"<{re.escape(name)}>|(?<![^\W_]){re.escape(name)}(?![^\W_])")
