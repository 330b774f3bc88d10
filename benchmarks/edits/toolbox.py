"""How good are the edits by embedding and noise: reconstruction, variations, text diffs?

    python benchmarks/edits/toolbox.py --count 200 --out runs/edits-toolbox
    python benchmarks/edits/toolbox.py --count 50 --size 256 --out runs/edits-toolbox-256
    python benchmarks/edits/toolbox.py --count 10 --parts reconstruct,textdiff

Pictures are half held-out renders and half generated, of ``test`` and ``unseen`` combinations, described in both
languages. Told are, with 95 % intervals over pictures:

- reconstruct: PSNR from embedding and noise alone, mean and variance of the noise, and what the embedding of the
  picture before makes of the same noise: how far it is off, and how often a kind, colour or setting is no longer shown,
- variation: share of kinds and settings kept by ``--each`` variations, and how far these are from one another, as a
  share of the distance of fresh samples of the picture's caption; at every one of ``--strengths``, with the picture
  described and not, as ``--words`` says,
- textdiff: one fact of the caption is changed; whether the picture shows it then, and whether the rest has stayed,
- best: the same, of ``--candidates`` pictures the one that CLIP holds to be nearest to the new caption,
- still: PSNR of text diffs of strength 0, and how many are not the given picture bit for bit: the network has run,
- interpolate: from a case to the next; share of kinds and settings of both shown at their ends, PSNR of the ends, and
  how often the verifier sees a thing half way,
- sweep: three standard deviations to both sides along the strongest component of the embeddings; how often the
  embeddings of the pictures lie in order along it, and share of kinds and settings kept in the middle.

Reconstructions are told nothing but the embedding. Text diffs are told both captions.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from shares import due, turn
from torch import Tensor

from tranh.data.scenes.facts import canonical, visible
from tranh.data.scenes.layout import generator
from tranh.data.scenes.source import say
from tranh.data.scenes.world import COLOURS, KINDS, MATERIALS, PLAINS, Fact, Scene
from tranh.edits import invert
from tranh.engine.sheet import sheet
from tranh.files import replacing, write_json
from tranh.metrics.diversity import within
from tranh.metrics.interval import bootstrap, wilson
from tranh.metrics.psnr import psnr
from tranh.nn.pixels import to_images, to_pixels
from tranh.recipes import models, toolbox
from tranh.recipes.edit_cases import Case, Tally, cases, result, verdict, write_sheet
from tranh.recipes.judge import Judge, shrunk
from tranh.recipes.pictures import pictures
from tranh.recipes.toolbox import Latent
from tranh.types import Request

CHANGES = {
    "colour": COLOURS,
    "setting": tuple(f"plain_{colour}" for colour in PLAINS),
    "material": MATERIALS,
    "kind": tuple(kind for kind in KINDS if kind not in ("face", "cat", "fish", "bird")),
}
PARTS = ("reconstruct", "variation", "textdiff", "best", "still", "interpolate", "sweep")
DESCRIBED = {"yes": "described", "no": "not described"}
SHOWN = 24
PLAIN = (
    "psnr", "noise_mean", "noise_variance", "psnr of a wrong embedding", "psnr lost by it",
    "pictures that a wrong embedding changes", "psnr of a text diff of strength 0",
    "text diffs of strength 0 that are not the picture itself", "psnr of the ends of a walk", "a thing half way",
    "sweeps in order",
)  # fmt: skip
"""Figures of one number for each case."""


def tensor(made: Any) -> Tensor:
    """The pictures of a result, (B, 3, S, S)."""
    return to_images(np.stack([np.asarray(image) for image in made.images]))


def changed(scene: Scene, number: int) -> tuple[Scene, tuple[Fact, ...]] | None:
    """A scene with one fact changed, and the facts that are new; None if none can be seen to change."""
    rng = generator("textdiff", number)
    groups = list(CHANGES)
    first = turn(number, len(groups))
    for group in groups[first:] + groups[:first]:
        now = scene.setting if group == "setting" else getattr(scene.things[0], group)
        values = [value for value in CHANGES[group] if value != now]
        value = values[int(rng.random() * len(values))]
        if group == "setting":
            after = replace(scene, setting=value)
        else:
            after = replace(
                scene, things=(replace(scene.things[0], **dict[str, Any]({group: value})), *scene.things[1:])
            )
        if canonical(after) != after or (group == "kind" and scene.things[0].expression is not None):
            continue
        new = tuple(fact for fact in visible(after) if fact not in visible(scene))
        if len(new) == 1:
            return after, new
    return None


class Bench:
    """The measurements of one system.

    Attributes:
        rows: what is drawn on each part's sheet.
    """

    def __init__(self, system: Any, judge: Judge, args: argparse.Namespace) -> None:
        self.system, self.judge, self.args, self.size = system, judge, args, args.size
        self.parts, self.words = args.parts.split(","), args.words.split(",")
        self.dials = [(words, float(one)) for words in self.words for one in args.strengths.split(",")]
        self.numbers: dict[str, list[float]] = defaultdict(list)
        self.rows: dict[str, list[tuple[Case, Tensor, str]]] = defaultdict(list)
        self.tallies: dict[str, Tally] = defaultdict(Tally)
        self.last: Tensor | None = None
        self.before: Case | None = None
        self.strips: dict[str, Tensor] = {}

    def measure(self, case: Case, number: int) -> None:
        """Every part that is asked for, of one case."""
        if "reconstruct" in self.parts:
            self.reconstruct(case)
        if "variation" in self.parts:
            self.variation(case)
        if found := changed(case.scene, number):
            if "textdiff" in self.parts:
                self.textdiff(case, number, *found)
            if "best" in self.parts:
                self.textdiff(case, number, *found, candidates=self.args.candidates)
            if "still" in self.parts:
                self.still(case, number, found[0])
        if "interpolate" in self.parts and self.before is not None:
            self.interpolate(self.before, case)
        if "sweep" in self.parts:
            self.sweep(case)
        self.before = case

    def asked(self, case: Case, words: str = "yes", **how: Any) -> Request:
        """The request of an edit of a case, described in words or not."""
        told: dict[str, Any] = {
            "prompt": "",
            "image": pictures(case.image[None])[0],
            "source": case.caption if words == "yes" else "",
            "seed": case.seed,
            "size": self.size,
        }
        return Request(**told | how)

    def reconstruct(self, case: Case) -> None:
        """Nothing is said of the picture: embedding and noise alone."""
        made = result(toolbox.reconstruct(self.system, self.asked(case, source="")))
        found = made.settings[0]
        error = float(psnr(tensor(made), case.image[None]))
        for name, value in (("psnr", error), *((n, found[n]) for n in ("noise_mean", "noise_variance"))):
            self.numbers[name].append(value)
        self.rows["reconstruct"].append((case, tensor(made)[0], f"{error:.1f} dB"))
        small = F.interpolate(case.image[None], size=(64, 64), mode="area")
        own = self.system.embed_images(small)
        if self.last is not None:
            ts = invert.times()
            latent = returned(toolbox.latent_of(self.system, small, "", case.seed, ts))
            with torch.no_grad():
                *_, step = invert.decode(self.system.unclip(self.last, [""], 1.0), latent.noise, ts)
            wrong = float(psnr(step.x, small))
            self.numbers["psnr of a wrong embedding"].append(wrong)
            self.numbers["psnr lost by it"].append(found["psnr"] - wrong)
            told = [fact for fact in visible(case.scene) if fact.group in ("kind", "colour", "setting")]
            both = self.judge.read(torch.cat([shrunk(tensor(made)), step.x]))
            right = [self.judge.check(reading, case.scene, told) for reading in both]
            lost = any(own and not other for own, other in zip(*right, strict=True))
            self.numbers["pictures that a wrong embedding changes"].append(lost)
            self.rows["wrong embedding"].append((case, enlarged(step.x, self.size)[0], "another's embedding"))
        self.last = own

    def variation(self, case: Case) -> None:
        seeds = range(case.seed, case.seed + self.args.each)
        said = [self.system.understand(case.caption).text] * self.args.each
        fresh = self.spread(self.system.generate_batch(said, seeds, self.size))
        facts = [fact for fact in visible(case.scene) if fact.group in ("kind", "setting")]
        for words, strength in self.dials:
            name = f"{DESCRIBED[words]}, strength {strength:g}"
            x = tensor(result(toolbox.vary(self.system, self.asked(case, words, count=len(said), strength=strength))))
            right = [self.judge.check(reading, case.scene, facts) for reading in self.judge.read(x)]
            self.numbers[f"kept {name}"].append(sum(map(sum, right)))
            self.numbers[f"to keep {name}"].append(len(facts) * len(x))
            self.numbers[f"varied {name}"].append(self.spread(x))
            self.numbers[f"fresh {name}"].append(fresh)
            self.rows["variation"].append((case, x[0], name))

    def spread(self, images: Tensor) -> float:
        """How far pictures are from one another for the verifier."""
        features = F.layer_norm(f := self.judge.features(images), f.shape[-1:])
        return float(within(features[None]))

    def diff(self, case: Case, number: int, after: Scene, **how: Any) -> Tensor:
        """A case moved to the caption of another scene, (3, S, S)."""
        before, wanted = (say(one, case.language, "dense", "textdiff", number)[0] for one in (case.scene, after))
        return tensor(result(toolbox.diff(self.system, self.asked(case, source=before, prompt=wanted, **how))))[0]

    def textdiff(self, case: Case, number: int, after: Scene, new: tuple[Fact, ...], candidates: int = 1) -> None:
        name = f"textdiff, best of {candidates}" if candidates > 1 else "textdiff"
        x = self.diff(case, number, after, candidates=candidates)
        edited = verdict(self.judge, after, new, x, case.scene)
        self.tallies[name].add(case, edited)
        told = f"{new[0].group} {new[0].value}" + ("" if edited.done else " (no)")
        self.rows[name].append((case, x, told + "".join(f", not {wrong}" for wrong in edited.wrong[:2])))

    def still(self, case: Case, number: int, after: Scene) -> None:
        """A text diff of strength 0."""
        x, given = self.diff(case, number, after, strength=0.0), to_images(to_pixels(case.image[None]))[0]
        self.numbers["psnr of a text diff of strength 0"].append(float(psnr(x[None], given[None]).clamp(max=60)))
        self.numbers["text diffs of strength 0 that are not the picture itself"].append(not torch.equal(x, given))

    def kept(self, name: str, case: Case, image: Tensor) -> None:
        """Count which kinds and settings of a case a picture (3, S, S) shows."""
        facts = [fact for fact in visible(case.scene) if fact.group in ("kind", "setting")]
        right = self.judge.check(self.judge.read(shrunk(image[None]))[0], case.scene, facts)
        self.numbers[f"right {name}"].append(sum(right))
        self.numbers[f"of {name}"].append(len(facts))

    def interpolate(self, a: Case, b: Case) -> None:
        """From one case to the next; the first walk has more frames, for the sheet."""
        name, frames = "ends of a walk", 3 if "interpolate" in self.strips else 9
        asked = self.asked(a, self.words[0], other=pictures(b.image[None])[0], frames=frames)
        asked = asked.replace(prompt=b.caption if self.words[0] == "yes" else "")
        x = tensor(result(toolbox.interpolate(self.system, asked)))
        self.strips.setdefault("interpolate", x)
        for case, end in ((a, x[0]), (b, x[-1])):
            self.kept(name, case, end)
            self.numbers["psnr of the ends of a walk"].append(float(psnr(end[None], case.image[None])))
        half = self.judge.read(shrunk(x[len(x) // 2][None]))[0]
        self.numbers["a thing half way"].append(bool(half.things))

    def sweep(self, case: Case) -> None:
        """Along the strongest component; the first sweep has more frames, for the sheet."""
        frames = 3 if "sweep" in self.strips else 9
        x = tensor(result(toolbox.swept(self.system, self.asked(case, self.words[0], frames=frames), component=1)))
        self.strips.setdefault("sweep", x)
        self.kept("middle of a sweep", case, x[len(x) // 2])
        ends = torch.stack([x[0], x[len(x) // 2], x[-1]])
        along = self.system.embed_images(shrunk(ends)) @ toolbox.known(self.system).directions[0]
        self.numbers["sweeps in order"].append(bool((along.diff() > 0).all()))

    def told_all(self) -> dict[str, Any]:
        """Every figure that was measured."""
        n, out = self.numbers, {}
        for name in PLAIN:
            if len(n[name]) > 1:
                out[name] = _interval(bootstrap(n[name]))
        for name in ("psnr", "noise_mean", "noise_variance"):
            if name in out:
                out[name]["worst"] = min(n[name]) if name == "psnr" else max(n[name], key=lambda v: abs(v - round(v)))
        if n["psnr"]:
            out["25 dB and more"] = _interval(wilson(sum(v >= 25 for v in n["psnr"]), len(n["psnr"])))
            good = [abs(m) <= 0.05 and abs(v - 1) <= 0.05
                    for m, v in zip(n["noise_mean"], n["noise_variance"], strict=True)]  # fmt: skip
            out["noise within 5 %"] = _interval(wilson(sum(good), len(good)))
        for name in ("ends of a walk", "middle of a sweep"):
            if len(n[f"right {name}"]) > 1:
                out[f"kinds and settings kept, {name}"] = _interval(bootstrap(n[f"right {name}"], n[f"of {name}"]))
        for words, strength in self.dials:
            name = f"{DESCRIBED[words]}, strength {strength:g}"
            if len(n[f"kept {name}"]) > 1:
                out[f"kinds and settings kept, {name}"] = _interval(bootstrap(n[f"kept {name}"], n[f"to keep {name}"]))
                out[f"diversity, share of fresh, {name}"] = _interval(
                    bootstrap(n[f"varied {name}"], n[f"fresh {name}"])
                )
        return out | {name: tally.json() for name, tally in self.tallies.items()}

    def save(self) -> str:
        """Write what is known; the table is returned."""
        told = self.told_all()
        settings = {**vars(self.args), "out": str(self.args.out), "hash": self.system.hash}
        write_json(self.args.out / "toolbox.json", told | {"settings": settings})
        for name, x in self.strips.items():
            with replacing(self.args.out / f"{name}.png") as part:
                sheet(x, [""] * len(x), columns=len(x)).save(part, "PNG")
        for name, rows in self.rows.items():
            write_sheet(self.args.out / f"{name.replace(' ', '-').replace(',', '')}.png", rows[:SHOWN])
        text = table(told, self.tallies)
        (self.args.out / "toolbox.md").write_text(text + "\n", "utf-8")
        return text


def returned(steps: Generator[Any, None, Latent]) -> Latent:
    """What a generator returns after its last step."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Latent = end.value
            return found


def enlarged(images: Tensor, size: int) -> Tensor:
    """Pictures on a sheet of larger ones."""
    return images if images.shape[-1] == size else F.interpolate(images, size=(size, size), mode="nearest")


def _interval(found: Any) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high, "count": found.count}


def table(told: dict[str, Any], tallies: Mapping[str, Tally]) -> str:
    """The figures as Markdown."""
    lines = ["| figure | value | n |", "|---|--:|--:|"]
    for name, one in told.items():
        if "value" in one:
            worst = f"; worst {one['worst']:.3g}" if "worst" in one else ""
            lines.append(
                f"| {name} | {one['value']:.3g} [{one['low']:.3g}, {one['high']:.3g}]{worst} | {one['count']} |"
            )
    return "\n".join(lines) + "".join(f"\n\n{name}\n\n{tally.table()}" for name, tally in tallies.items())


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tranh-1")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--level", default="one")
    parser.add_argument("--size", type=int, default=64, help="of the pictures")
    parser.add_argument("--each", type=int, default=2, help="variations of each picture")
    parser.add_argument("--words", default="yes,no", help="are the pictures described? yes, no, or both in turn")
    parser.add_argument("--strengths", default="0.5", help="of variations, with commas between, such as 0.25,0.5,1")
    parser.add_argument("--candidates", type=int, default=4, help="of which the best is kept by part best")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--out", type=Path, default=Path("edits-toolbox"))
    args = parser.parse_args(argv)
    for told, known in ((args.parts, PARTS), (args.words, tuple(DESCRIBED))):
        if unknown := set(told.split(",")) - set(known):
            parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
    args.out.mkdir(parents=True, exist_ok=True)
    system, judge = models.load(args.model), Judge(models.verifier())
    bench = Bench(system, judge, args)
    for number, case in enumerate(cases(judge, args.count, system, level=args.level, size=args.size, seed=args.seed)):
        bench.measure(case, number)
        print(f"{number + 1}/{args.count}", flush=True)
        if due(number + 1):
            bench.save()
    print(bench.save())


if __name__ == "__main__":
    main()
