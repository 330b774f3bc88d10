"""Which comparison a rater sees when: a pure function of the study and the rater's number.

Nothing has to be remembered for a rater who comes back: the next task is the first of the plan without a vote. It knows
neither votes nor pages.

A plan has a part per question (their order turns from rater to rater). Two raters in a row see the same
comparisons, sides swapped and in another order, so that one knows how far people agree. For each question these couples
walk along one row, where the couple before stopped: rounds with every pair of systems once, in shuffled order; from
round to round a pair goes on to its next caption, in a shuffled order, and swaps sides. Among every few comparisons is
one whose right answer is known.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from tranh.metrics.preference import Answer
from tranh.serve.rating.study import CHECK_EVERY, Study

Check = Literal["", "noise", "copies", "identical"]


@dataclass(frozen=True)
class Shown:
    """One picture on the screen: of which system, caption and sample, and whether it is spoiled for a check."""

    system: str
    prompt: str
    sample: int
    spoiled: bool = False


@dataclass(frozen=True)
class Task:
    """One screen.

    Attributes:
        position: in the rater's plan, from 0.
        prompt: key of the caption.
        left, right: names of the systems; equal in a check.
        check: ``noise`` (one side is spoiled), ``copies`` (one side repeats one picture), ``identical`` (both sides are
            equal), or empty for a real comparison.
        right_answer: of a check, else None.
        seen: names what is on the screen, whichever side it is on: raters who saw the same can agree.
    """

    position: int
    question: str
    prompt: str
    left: str
    right: str
    pictures: tuple[tuple[Shown, ...], tuple[Shown, ...]]
    check: Check = ""
    right_answer: Answer | None = None

    @property
    def seen(self) -> str:
        return f"{self.question}/{self.prompt}/{self.pictures[0][0].sample}"


def plan(study: Study, rater: int, per_rater: int, language: str = "") -> tuple[Task, ...]:
    """All screens of a rater, in order.

    Args:
        rater: number of the rater, from 0: those of one language continue one another.
        language: of the page: captions in it are preferred where there are any.
    """
    rng = random.Random(f"{study.seed} rater {language} {rater}")
    questions = study.questions
    couple, second = divmod(rater, 2)
    turn = couple % len(questions)
    order = questions[turn:] + questions[:turn]
    # One check at a random place in every so many comparisons, never at the very beginning.
    starts = range(0, per_rater, CHECK_EVERY)
    due = {min(per_rater, start + rng.randint(1 if start else 2, CHECK_EVERY)) for start in starts}
    tasks: list[Task] = []
    compared = 0
    for question in order:
        for task in _part(study, question, couple, second, per_rater, language, rng):
            tasks.append(replace(task, position=len(tasks)))
            compared += 1
            if compared in due:
                tasks.append(replace(_check(study, question, language, rng), position=len(tasks)))
    return tuple(tasks)


def _part(
    study: Study, question: str, couple: int, second: int, per_rater: int, language: str, rng: random.Random
) -> Iterator[Task]:
    """A rater's comparisons for one question: a stretch of the one long row that all couples walk along."""
    pairs = [pair for pair in study.shared if study.keys(question, pair)]
    begin, end = (_before(study, question, number, per_rater) for number in (couple, couple + 1))
    for place in rng.sample(range(begin, end), end - begin):
        use = place // len(pairs)  # the row has rounds: each has every pair once
        shuffled = random.Random(f"{study.seed} round {question} {use}").sample(pairs, len(pairs))
        pair = shuffled[place % len(pairs)]
        keys = _walk(study, question, pair, language)
        key, again = keys[use % len(keys)], use // len(keys)
        # Each showing swaps sides; so does each new walk, or an even number of captions would keep theirs.
        flip = (use + again * (len(keys) % 2 == 0) + _coin(study, question, pair) + second) % 2
        left, right = pair[::-1] if flip else pair
        if question == "diversity":
            samples = tuple(range(study.grid(pair, key)))
        else:
            fewest = min(len(study.systems[name].pictures[key]) for name in pair)
            samples = (again % fewest,)
        sides = tuple(tuple(Shown(name, key, k) for k in samples) for name in (left, right))
        yield Task(0, question, key, left, right, (sides[0], sides[1]))


def _before(study: Study, question: str, couple: int, per_rater: int) -> int:
    """How far a question's row is walked by couples before this one; what is left over goes to who begin with it."""
    count, rest = divmod(per_rater, len(study.questions))
    place = study.questions.index(question)
    whole, turns = divmod(couple, len(study.questions))
    return couple * count + whole * rest + sum((place - turn) % len(study.questions) < rest for turn in range(turns))


def _walk(study: Study, question: str, pair: tuple[str, str], language: str) -> list[str]:
    """The captions of a pair in the order in which raters of a language go through them."""
    keys = list(study.keys(question, pair))
    for code in (language, ""):  # in the rater's language, else in one that is not known, else in any
        own = [key for key in keys if code in study.prompt(key).captions]
        if own:
            keys = own
            break
    random.Random(f"{study.seed} walk {question} {pair}").shuffle(keys)
    return keys


def _coin(study: Study, question: str, pair: tuple[str, str]) -> int:
    return random.Random(f"{study.seed} side {question} {pair}").randrange(2)


def _check(study: Study, question: str, language: str, rng: random.Random) -> Task:
    """A comparison within one system whose right answer is known."""
    pair = rng.choice([pair for pair in study.shared if study.keys(question, pair)])
    name = rng.choice(pair)
    keys = _walk(study, question, pair, language)
    key = rng.choice(keys)
    others = [other for other in keys if other != key]
    count = study.grid(pair, key) if question == "diversity" else 1
    good = tuple(Shown(name, key, k) for k in range(count))
    if rng.random() < 0.25 or (question == "diversity" and len(others) + 1 < count):
        return Task(0, question, key, name, name, (good, good), "identical", "same")
    if question == "diversity":  # pictures of different captions against one picture again and again
        bad: tuple[Shown, ...] = (good[0],) * count
        good = (good[0], *(Shown(name, other, 0) for other in rng.sample(others, count - 1)))
        check: Check = "copies"
    else:
        bad, check = (Shown(name, key, 0, spoiled=True),), "noise"
    if rng.random() < 0.5:
        return Task(0, question, key, name, name, (good, bad), check, "left")
    return Task(0, question, key, name, name, (bad, good), check, "right")
