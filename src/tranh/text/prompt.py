"""What a person typed, understood: normalised, its language guessed, and everything doubtful said aloud.

Nothing is corrected in silence: a change or a doubt is a notice, a word the model never saw is an error. The words come
from the model's own training captions, the languages from their lexicons.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tranh.text.lexicon import Lexicon
from tranh.text.normalise import normalise, strip_diacritics, tidy
from tranh.text.restore import restore_diacritics
from tranh.text.words import WORD, Words
from tranh.types import TranhError

UNDETERMINED = "und"
"""The language code of a prompt that has no word of any lexicon (ISO 639)."""

EXAMPLES = 12
"""Known words named to someone whose word is not known."""


class UnknownWord(TranhError):
    """A prompt has words that were in no training caption. ``words`` are they; ``suggestions`` what may be meant."""

    def __init__(self, message: str, words: tuple[str, ...], suggestions: dict[str, tuple[str, ...]]) -> None:
        super().__init__(message)
        self.words, self.suggestions = words, suggestions


@dataclass(frozen=True)
class Prompt:
    """A prompt as it was understood.

    Attributes:
        text: for the model.
        original: as typed, made safe to show.
        language: code of the lexicon most of its words belong to, or ``und``.
        notices: sentences for the user: what was changed, what is doubtful.
        unknown: words the model never saw (only where the caller allowed them).
    """

    text: str
    original: str
    language: str
    notices: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def understand(
    prompt: str,
    lexicons: Sequence[Lexicon],
    known_words: Words,
    *,
    restore: bool = True,
    allow_unknown: bool = False,
) -> Prompt:
    """Read a prompt for a model that knows ``known_words``.

    Args:
        restore: put the marks back into Vietnamese (or any marked language) typed without them, and say so.
        allow_unknown: report unknown words in ``notices`` instead of refusing them.
    """
    original, text = tidy(prompt), normalise(prompt)
    if not WORD.search(text):
        raise TranhError(
            f"the prompt {original!r} has no words; describe a picture, for example: {_example(lexicons)!r}"
        )
    notices: list[str] = []
    language, mixed = guess_language(text, lexicons)
    if mixed:
        notices.append(f"the prompt mixes languages ({', '.join(mixed)}); one language is understood better")
    spoken = [lexicon for lexicon in lexicons if lexicon.language == language]
    if restore and not mixed and any(lexicon.marked for lexicon in spoken):
        text = _restore(text, known_words, notices)
    words = tuple(dict.fromkeys(WORD.findall(text)))
    for lexicon in spoken:
        notices += ambiguities(text, lexicon)
        notices += negations(text, lexicon)
    harmless = {word for lexicon in lexicons for word in (*lexicon.function, *lexicon.negation)}
    harmless |= {strip_diacritics(word) for word in harmless}
    unknown = tuple(word for word in words if word not in known_words and word not in harmless)
    if unknown:
        message, suggestions = _unknown_message(unknown, lexicons, language, known_words)
        if not allow_unknown:
            raise UnknownWord(message, unknown, suggestions)
        notices.append(message)
    return Prompt(text, original, language, tuple(notices), unknown)


def guess_language(text: str, lexicons: Sequence[Lexicon]) -> tuple[str, tuple[str, ...]]:
    """(language code, codes it is mixed from or nothing), by whose words a normalised text is made of.

    A word counts less for a language that writes it with marks, and a language is mixed in only if some words are its
    alone: "cam" and "sao" mean nothing in an English sentence, but "to" and "in" are in both.
    """
    words = WORD.findall(text)
    scores: dict[str, float] = {}
    own: dict[str, set[int]] = {}
    for lexicon in lexicons:
        own[lexicon.language] = {
            i for i, word in enumerate(words) if word in lexicon.vocabulary or word in lexicon.plain_vocabulary
        }
        exact = sum(word in lexicon.vocabulary for word in words)
        letters = {letter for word in lexicon.vocabulary for letter in word if not letter.isascii()}
        # A foreign word in a language's own letters still speaks for that language.
        hints = sum(word not in lexicon.vocabulary and not letters.isdisjoint(word) for word in words)
        scores[lexicon.language] = exact + 0.75 * (len(own[lexicon.language]) - exact) + 0.25 * hints
    if not any(scores.values()):
        return UNDETERMINED, ()
    best = max(scores, key=scores.__getitem__)
    others = [code for code in scores if code != best and len(own[code] - own[best]) >= 2]
    return best, (best, *others) if others else ()


def ambiguities(text: str, lexicon: Lexicon) -> list[str]:
    """A notice for each word that alone could mean several values, unless what follows settles it."""
    words = WORD.findall(text)
    phrases = [phrase.split() for _, _, phrase in lexicon.phrases()]
    notices = []
    for at, word in enumerate(words):
        for ambiguous, meanings in lexicon.ambiguous.items():
            if word not in (ambiguous, strip_diacritics(ambiguous)):
                continue
            rest = words[at:]
            settled = any(
                len(phrase) > 1 and rest[: len(phrase)] in (phrase, [strip_diacritics(part) for part in phrase])
                for phrase in phrases
            )
            if not settled:
                notices.append(f"{word!r} could be {_either(meanings)}; write one of them")
    return list(dict.fromkeys(notices))


def negations(text: str, lexicon: Lexicon) -> list[str]:
    """A notice for each word that denies: models draw what is named, denied or not."""
    for empty in lexicon.templates["empty"]:
        text = text.replace(empty, " ")
    found = [word for word in dict.fromkeys(WORD.findall(text)) if word in lexicon.negation]
    return [f"{word!r} is not understood; put what should be absent into the negative prompt" for word in found]


def _restore(text: str, known_words: Words, notices: list[str]) -> str:
    restored = restore_diacritics(text, known_words)
    if restored.text == text:
        return text
    notices.append(f"read as {restored.text!r}; type the marks to be exact")
    for unsure in restored.unsure:
        notices.append(f"{unsure.typed!r} was read as {unsure.reading!r} and could be {_either(unsure.others)}")
    return restored.text


def _unknown_message(
    unknown: Sequence[str], lexicons: Sequence[Lexicon], language: str, known_words: Words
) -> tuple[str, dict[str, tuple[str, ...]]]:
    suggestions = {word: known_words.nearest(word) for word in unknown}
    parts = []
    for word in unknown:
        near = suggestions[word]
        parts.append(f"{word!r} is unknown to this model" + (f" (did you mean {_either(near)}?)" if near else ""))
    examples = ", ".join(_known_examples(lexicons, language, known_words))
    return "; ".join(parts) + f"; it knows, for example: {examples}", suggestions


def _known_examples(lexicons: Iterable[Lexicon], language: str, known_words: Words) -> list[str]:
    """Nouns of the prompt's language whose every word the model knows, else its most frequent words of any kind."""
    for lexicon in lexicons:
        if lexicon.language == language or language == UNDETERMINED:
            nouns = [str(words[0]) for words in lexicon.groups.get("kind", {}).values()]
            known = [noun for noun in nouns if all(part in known_words for part in WORD.findall(noun))]
            if known:
                return known[:EXAMPLES]
    return sorted(known_words.counts, key=lambda word: (-known_words.counts[word], word))[:EXAMPLES]


def _example(lexicons: Iterable[Lexicon]) -> str:
    for lexicon in lexicons:
        for words in lexicon.groups.get("kind", {}).values():
            return lexicon.finish(f"{lexicon.article.form(words[0].noun_class)} {words[0]}")
    return "a red circle"


def _either(options: Sequence[str]) -> str:
    quoted = [repr(option) for option in options]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " or " + quoted[-1]
