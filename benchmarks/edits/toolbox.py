"""How good are the edits by embedding and noise: reconstruction, variations, text diffs?

    python benchmarks/edits/toolbox.py --count 200 --out runs/edits-toolbox
    python benchmarks/edits/toolbox.py --count 50 --size 256 --out runs/edits-toolbox-256
    python benchmarks/edits/toolbox.py --count 10 --parts reconstruct,textdiff

Pictures are half held-out renders and half generated, of ``test`` and ``unseen`` combinations, described in both
languages. Told are, with 95 % intervals over pictures:

- reconstruct: PSNR from embedding and noise alone, mean and variance of the noise, and what another picture's
  embedding makes of the same noise,
- variation: share of kinds and settings kept by ``--each`` variations, and how far these are from one another, as a
  share of the distance of fresh samples of the picture's caption,
- textdiff: one fact of the caption is changed; whether the picture shows it then, and whether the rest has stayed,
- walks: no figure; an interpolation and a sweep are drawn.

Beside its embedding a picture is described in words, but for reconstructions; with ``--words no`` variations and walks
are told nothing either. Text diffs are told both captions.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tranh.data.scenes.facts import canonical, visible
from tranh.data.scenes.layout import generator
from tranh.data.scenes.source import say
from tranh.data.scenes.world import COLOURS, KINDS, MATERIALS, PLAINS, Fact, Scene
from tranh.edits import invert
from tranh.files import write_json
from tranh.metrics.diversity import within
from tranh.metrics.interval import bootstrap, wilson
from tranh.metrics.psnr import psnr
from tranh.nn.pixels import to_images
from tranh.recipes import models, toolbox
from tranh.recipes.edit_cases import Case, Tally, cases, result, verdict, write_sheet
from tranh.recipes.judge import Judge
from tranh.recipes.pictures import pictures
from tranh.recipes.toolbox import Latent
from tranh.types import Request

CHANGES = {
    "colour": COLOURS,
    "setting": tuple(f"plain_{colour}" for colour in PLAINS),
    "material": MATERIALS,
    "kind": tuple(kind for kind in KINDS if kind not in ("face", "cat", "fish", "bird")),
}
PARTS = ("reconstruct", "variation", "textdiff", "walks")
SHOWN = 24


def tensor(made: Any) -> Tensor:
    """The pictures of a result, (B, 3, S, S)."""
    return to_images(np.stack([np.asarray(image) for image in made.images]))


def changed(scene: Scene, number: int) -> tuple[Scene, tuple[Fact, ...]] | None:
    """A scene with one fact changed, and the facts that are new; None if none can be seen to change."""
    rng = generator("textdiff", number)
    groups = list(CHANGES)
    for group in groups[number % len(groups) :] + groups[: number % len(groups)]:
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

    def __init__(self, system: Any, judge: Judge, told: bool, each: int, size: int) -> None:
        self.system, self.judge, self.told, self.each, self.size = system, judge, told, each, size
        self.numbers: dict[str, list[float]] = defaultdict(list)
        self.rows: dict[str, list[tuple[Case, Tensor, str]]] = defaultdict(list)
        self.tally = Tally()
        self.embeddings: list[Tensor] = []

    def asked(self, case: Case, **how: Any) -> Request:
        """The request of an edit of a case."""
        said = case.caption if self.told else ""
        told: dict[str, Any] = {
            "prompt": "",
            "image": pictures(case.image[None])[0],
            "source": said,
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
        if self.embeddings:
            other = min(self.embeddings, key=lambda one: float((one * own).sum()))  # of the picture least like it
            ts = invert.times()
            latent = returned(toolbox.latent_of(self.system, small, "", case.seed, ts))
            with torch.no_grad():
                *_, step = invert.decode(self.system.unclip(other, [""], 1.0), latent.noise, ts)
            self.numbers["psnr of a wrong embedding"].append(float(psnr(step.x, small)))
            self.rows["wrong embedding"].append((case, enlarged(step.x, self.size)[0], "another's embedding"))
        self.embeddings.append(own)

    def variation(self, case: Case) -> None:
        x = tensor(result(toolbox.vary(self.system, self.asked(case, count=self.each))))
        facts = [fact for fact in visible(case.scene) if fact.group in ("kind", "setting")]
        for reading in self.judge.read(x):
            right = self.judge.check(reading, case.scene, facts)
            self.numbers["kept"].append(sum(right))
            self.numbers["to keep"].append(len(right))
        fresh = self.system.generate_batch(
            [self.system.understand(case.caption).text] * self.each, range(case.seed, case.seed + self.each), self.size
        )
        for name, images in (("varied", x), ("fresh", fresh)):
            features = F.layer_norm(f := self.judge.features(images), f.shape[-1:])
            self.numbers[f"distance, {name}"].append(float(within(features[None])))
        self.rows["variation"] += [(case, one, "varied") for one in x[:1]]

    def textdiff(self, case: Case, number: int) -> None:
        found = changed(case.scene, number)
        if found is None:
            return
        after, new = found
        key = ("textdiff", number)
        before, wanted = (say(one, case.language, "dense", *key)[0] for one in (case.scene, after))
        x = tensor(result(toolbox.diff(self.system, self.asked(case, source=before, prompt=wanted))))
        edited = verdict(self.judge, after, new, x[0], case.scene)
        self.tally.add(case, edited)
        told = f"{new[0].group} {new[0].value}" + ("" if edited.done else " (no)")
        self.rows["textdiff"].append((case, x[0], told + "".join(f", not {wrong}" for wrong in edited.wrong[:2])))

    def walks(self, a: Case, b: Case) -> None:
        """An interpolation of two cases and a sweep of the first."""
        other = pictures(b.image[None])[0]
        prompt = b.caption if self.told else ""
        made = result(toolbox.interpolate(self.system, self.asked(a, other=other, prompt=prompt)))
        self.rows["interpolate"] += [
            (a, x, f"{told['share']:.2f}") for x, told in zip(tensor(made), made.settings, strict=True)
        ]
        made = result(toolbox.swept(self.system, self.asked(a, frames=7), component=1))
        self.rows["sweep"] += [
            (a, x, f"{told['amount']:+.1f}") for x, told in zip(tensor(made), made.settings, strict=True)
        ]

    def told_all(self) -> dict[str, Any]:
        """Every figure that was measured."""
        n, out = self.numbers, {}
        for name in ("psnr", "noise_mean", "noise_variance", "psnr of a wrong embedding"):
            if len(n[name]) > 1:
                out[name] = _interval(bootstrap(n[name]))
                out[name]["worst"] = min(n[name]) if "psnr" in name else max(n[name], key=lambda v: abs(v - round(v)))
        if n["psnr"]:
            out["25 dB and more"] = _interval(wilson(sum(v >= 25 for v in n["psnr"]), len(n["psnr"])))
            good = [abs(m) <= 0.05 and abs(v - 1) <= 0.05
                    for m, v in zip(n["noise_mean"], n["noise_variance"], strict=True)]  # fmt: skip
            out["noise within 5 %"] = _interval(wilson(sum(good), len(good)))
        if len(n["kept"]) > 1:
            out["kinds and settings kept"] = _interval(bootstrap(n["kept"], n["to keep"]))
            out["diversity, share of fresh"] = _interval(bootstrap(n["distance, varied"], n["distance, fresh"]))
        if self.tally.verdicts:
            out["textdiff"] = self.tally.json()
        return out


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


def table(told: dict[str, Any], tally: Tally) -> str:
    """The figures as Markdown."""
    lines = ["| figure | value | n |", "|---|--:|--:|"]
    for name, one in told.items():
        if "value" in one:
            worst = f"; worst {one['worst']:.3g}" if "worst" in one else ""
            lines.append(
                f"| {name} | {one['value']:.3g} [{one['low']:.3g}, {one['high']:.3g}]{worst} | {one['count']} |"
            )
    return "\n".join(lines) + (f"\n\ntextdiff\n\n{tally.table()}" if tally.verdicts else "")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tranh-1")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--level", default="one")
    parser.add_argument("--size", type=int, default=64, help="of the pictures")
    parser.add_argument("--each", type=int, default=2, help="variations of each picture")
    parser.add_argument("--words", choices=("yes", "no"), default="yes", help="are the pictures described?")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--out", type=Path, default=Path("edits-toolbox"))
    args = parser.parse_args(argv)
    parts = args.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    system, judge = models.load(args.model), Judge(models.verifier())
    bench = Bench(system, judge, args.words == "yes", args.each, args.size)
    kept: list[Any] = []
    for number, case in enumerate(cases(judge, args.count, system, level=args.level, size=args.size, seed=args.seed)):
        if "reconstruct" in parts:
            bench.reconstruct(case)
        if "variation" in parts:
            bench.variation(case)
        if "textdiff" in parts:
            bench.textdiff(case, number)
        kept = [*kept, case][:2]
        print(f"{number + 1}/{args.count}", flush=True)
    if "walks" in parts and len(kept) == 2:
        bench.walks(*kept)
    args.out.mkdir(parents=True, exist_ok=True)
    told = bench.told_all()
    write_json(args.out / "toolbox.json", told)
    for name, rows in bench.rows.items():
        write_sheet(args.out / f"{name.replace(' ', '-')}.png", rows[:SHOWN])
    text = table(told, bench.tally)
    (args.out / "toolbox.md").write_text(text + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
