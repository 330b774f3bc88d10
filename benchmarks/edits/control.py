"""Does what is said beyond a prompt act: negative prompts, weights, regions, times of guidance?

    python benchmarks/edits/control.py --count 200 --out runs/edits-control
    python benchmarks/edits/control.py --count 10 --parts regions,weights

Half of the prompts are English, half Vietnamese. Told are, with 95 % intervals:

- negative: dense captions leave a fact open; the value that a first set of pictures shows most often is named in the
  negative prompt. Its rate in other pictures, without and with the negative prompt, from the same noise, and the ratio
  of the two; and what of the caption is right in both,
- weights: a word of a dense caption is weighed; the rate of its fact at weights 0 to 2, from the same noise, and the
  share of prompts in which it never falls from one weight to the next, and in which it also rises from end to end,
- regions: two things are asked for in two boxes; each fact of a thing is right if a thing in that box shows it, and the
  whole is if all are,
- interval: facts right of dense captions, guided at all times and at some.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from shares import due, percent, share
from torch import Tensor

from tranh.data.scenes.captions import caption
from tranh.data.scenes.facts import visible
from tranh.data.scenes.layout import generator, scene
from tranh.data.scenes.source import say
from tranh.data.scenes.world import COLOURS, KINDS, Scene
from tranh.engine.sheet import sheet
from tranh.families.verifier import Reading
from tranh.files import replacing, write_json
from tranh.metrics.interval import Interval, bootstrap, wilson
from tranh.nn.pixels import to_images
from tranh.recipes import models
from tranh.recipes.edit_cases import SPLITS
from tranh.recipes.judge import Judge
from tranh.recipes.seen_scene import scene_of
from tranh.text.lexicon import Lexicon
from tranh.text.normalise import normalise
from tranh.types import Region, Request

PARTS = ("negative", "weights", "regions", "interval")
WEIGHTS = (0.0, 0.5, 1.0, 1.4, 2.0)
INTERVALS = ((0.0, 1.0), (0.2, 1.0), (0.4, 0.95))
BOXES = (
    ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)),
    ((0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)),
    ((0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0)),
    ((0.5, 0.0, 1.0, 0.5), (0.0, 0.5, 0.5, 1.0)),
)
SETTINGS = ("plain_grey", "plain_green", "beach", "meadow", "plain_blue", "desert")
OPEN = ("colour", "material", "size")
LANGUAGES = ("en", "vi")
SHOWN = 48


def held_out(number: int) -> Scene:
    """Scene ``number``; a dozen of one split follow a dozen of the other, so both meet every language and fact."""
    return scene("one", SPLITS[number // 12 % len(SPLITS)], number)


def phrase(lexicon: Lexicon, kind: str, colour: str) -> str:
    """A thing in words: ``a red circle``."""
    noun = lexicon.words("kind", kind)[0]
    said = [lexicon.words("colour", colour)[0].form(noun.noun_class)]
    article = lexicon.article.form(noun.noun_class)
    order = [article, *said, str(noun)] if lexicon.language == "en" else [article, str(noun), *said]
    return lexicon.finish(" ".join(order))


def shows(reading: Reading, group: str, value: str, box: Sequence[float] = (0, 0, 1, 1)) -> bool:
    """Is there a thing in a box of which this is true?"""
    things = scene_of(reading).things
    inside = [t for t in things if box[0] <= t.x <= box[2] and box[1] <= t.y <= box[3]]
    return any(getattr(thing, group) == value for thing in inside)


class Bench:
    """The measurements of one system."""

    def __init__(self, system: Any, judge: Judge, args: argparse.Namespace) -> None:
        self.system, self.judge, self.args, self.each = system, judge, args, args.each
        self.rights: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.shown: dict[str, list[tuple[Tensor, str]]] = defaultdict(list)

    def draw(self, prompt: str, seed: int, count: int | None = None, **how: Any) -> Tensor:
        """Pictures (B, 3, S, S) of a request."""
        request = Request(prompt, seed=seed, count=count or self.each, size=self.args.size, **how)
        *_, last = self.system.generate_events(request)
        return to_images(np.stack([np.asarray(image) for image in last.result.images]))

    def add(self, figure: str, right: Sequence[bool]) -> None:
        self.rights[figure].append((sum(right), len(right)))

    def show(self, part: str, x: Tensor, words: str) -> None:
        if len(self.shown[part]) < SHOWN:
            self.shown[part].append((x, words))

    def negative(self, number: int, lexicon: Lexicon) -> None:
        """A caption that says everything but one fact; named is what most of a first set of pictures show there."""
        true, group = held_out(number), ("colour", "material")[number // 2 % 2]
        left = [fact for fact in visible(true) if fact.group not in (group, "shade")]
        prompt = caption(true, left, lexicon.language, generator("negative", number), "dense")[0]
        first = [scene_of(one).things for one in self.judge.read(self.draw(prompt, 1000 * number))]
        seen = Counter(getattr(things[0], group) for things in first if things)
        if not seen:
            return
        value = seen.most_common(1)[0][0]
        named = lexicon.words(group, value)[0].form()
        asked: tuple[tuple[str, dict[str, Any]], ...] = (("without", {}), ("with", {"negative_prompt": named}))
        for figure, how in asked:
            readings = self.judge.read(x := self.draw(prompt, 1000 * number + 500, **how))
            self.add(f"negative, {figure}", [shows(one, group, value) for one in readings])
            self.add(f"negative, {figure}: the prompt's facts", [
                right for one in readings for right in self.judge.check(one, true, left)
            ])  # fmt: skip
            self.show("negative", x[0], f"{prompt}, not {named}" if how else prompt)

    def weights(self, number: int, lexicon: Lexicon) -> None:
        """A caption that says everything; a word of one of its facts is weighed."""
        true = held_out(number)
        said = normalise(say(true, lexicon.language, "dense", "weights", number)[0])
        for group in (OPEN[number // 2 % len(OPEN) :] + OPEN)[: len(OPEN)]:
            value = getattr(true.things[0], group)
            forms = sorted((form for word in lexicon.words(group, value) for form in word.forms), key=len, reverse=True)
            found = re.search(rf"\b({'|'.join(map(re.escape, forms))})\b", said)
            if found is None:
                continue
            rates = []
            for weight in WEIGHTS:
                prompt = f"{said[: found.start()]}({found[0]}:{weight}){said[found.end() :]}"
                x = self.draw(prompt, 1000 * number)
                right = [shows(one, group, value) for one in self.judge.read(x)]
                rates.append(sum(right))
                self.add(f"weight {weight:g}", right)
                self.show("weights", x[0], prompt)
            rising = all(low <= high for low, high in pairwise(rates))
            self.add("weights, the rate never falls", [rising])
            self.add("weights, it never falls and rises from end to end", [rising and rates[0] < rates[-1]])
            return

    def regions(self, number: int, lexicon: Lexicon) -> None:
        rng = generator("regions", number)
        boxes, setting = BOXES[number // 2 % len(BOXES)], SETTINGS[int(rng.random() * len(SETTINGS))]
        whole = str(lexicon.words("setting", setting)[0])
        asked = [
            {"kind": KINDS[int(rng.random() * len(KINDS))], "colour": COLOURS[int(rng.random() * len(COLOURS))]}
            for _ in boxes
        ]
        said = [phrase(lexicon, one["kind"], colour=one["colour"]) for one in asked]
        regions = [Region(words, *box) for words, box in zip(said, boxes, strict=True)]
        x = self.draw(whole, 1000 * number, 1, regions=regions)
        reading = self.judge.read(x)[0]
        right = [
            shows(reading, group, value, box)
            for one, box in zip(asked, boxes, strict=True) for group, value in one.items()
        ]  # fmt: skip
        self.add("regions, facts", right)
        self.add("regions, all facts of all boxes", [all(right)])
        self.add("regions, setting of the whole", [scene_of(reading).setting == setting])
        self.show("regions", x[0], f"{' | '.join(said)} | {whole}")

    def interval(self, number: int, lexicon: Lexicon) -> None:
        true = held_out(number)
        said, facts = say(true, lexicon.language, "dense", "interval", number)
        for interval in INTERVALS:
            x = self.draw(said, 1000 * number, 1, guidance_interval=interval)
            self.add(f"guided in {list(interval)}", self.judge.check(self.judge.read(x)[0], true, facts))

    def told(self) -> dict[str, Interval]:
        """Every share; where a picture has several facts pictures are resampled."""
        out = {}
        for figure, found in self.rights.items():
            rights, totals = ([row[k] for row in found] for k in (0, 1))
            whole = max(totals) == 1
            out[figure] = wilson(sum(rights), sum(totals)) if whole or len(found) < 2 else bootstrap(rights, totals)
        without, with_ = (
            [right for right, _ in self.rights.get(f"negative, {name}", [])] for name in ("without", "with")
        )
        if ratio := share(with_, without):
            out["negative, rate with it / without it"] = ratio
        return out

    def save(self) -> str:
        """Write what is known; the table is returned."""
        told = self.told()
        write_json(self.args.out / "control.json", {name: vars(found) for name, found in told.items()})
        for part, rows in self.shown.items():
            with replacing(self.args.out / f"{part}.png") as temporary:
                sheet(torch.stack([x for x, _ in rows]), [words for _, words in rows]).save(temporary, "PNG")
        lines = ["| figure | share | n |", "|---|--:|--:|"]
        lines += [f"| {name} | {percent(found)} | {found.count} |" for name, found in told.items()]
        (self.args.out / "control.md").write_text("\n".join(lines) + "\n", "utf-8")
        return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tranh-1")
    parser.add_argument("--count", type=int, default=200, help="prompts of each part")
    parser.add_argument("--seed", type=int, default=0, help="number of the first prompt")
    parser.add_argument("--size", type=int, default=64, help="of the pictures")
    parser.add_argument("--each", type=int, default=4, help="pictures of a prompt, where rates are measured")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--out", type=Path, default=Path("edits-control"))
    args = parser.parse_args(argv)
    parts = args.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    args.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(models.load(args.model), Judge(models.verifier()), args)
    for number in range(args.seed, args.seed + args.count):
        lexicon = Lexicon.load(LANGUAGES[number % 2])
        for part in parts:
            getattr(bench, part)(number, lexicon)
        done = number - args.seed + 1
        print(f"{done}/{args.count}", flush=True)
        if due(done):
            bench.save()
    print(bench.save())


if __name__ == "__main__":
    main()
