"""How good are sliders: does a picture get lighter, larger, happier step by step, and does the rest stay?

    python benchmarks/edits/sliders.py --models tranh-1,my-vae,my-flow --count 200 --out runs/edits-sliders

Directions are learned from training pictures: the mean latent of those with one word less that of those with the other.
Each case is moved along, from less to more. What is told, with 95 % intervals over pictures:

- monotone: share of pictures in which the attribute rises from end to end and never falls back by more than a tenth of
  the whole rise. The attribute is the verifier's log-odds of the two words for the thing it sees best.
- reached: share of pictures whose last one shows the word asked for.
- kept: of the other facts that the unmoved picture shows (through the model, since a blurred reconstruction shows
  fewer), the share that all moved pictures show, in the mean.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from shares import due, percent, share
from torch import Tensor

from tranh.data.scenes.facts import visible
from tranh.data.scenes.labels import THING_FIELDS
from tranh.data.scenes.world import Scene
from tranh.files import write_json
from tranh.metrics.interval import wilson
from tranh.recipes import latent_edits, models
from tranh.recipes.edit_cases import Case, cases, result
from tranh.recipes.judge import Judge, shrunk
from tranh.recipes.pictures import pictures

SLIDERS = {"shade": ("light", "dark"), "size": ("large", "small"), "expression": ("happy", "sad")}
BACK = 0.1
"""Of the whole rise: so far an attribute may fall back between two steps."""

SHOWN = 2
"""Cases of each slider that are drawn."""


def log_odds(judge: Judge, images: Tensor, group: str, more: str, less: str) -> Tensor:
    """What the verifier thinks of the thing it sees best: log of the odds of one word against the other, (B,)."""
    verifier: Any = judge.verifier
    with torch.no_grad():
        cells = verifier.maps(shrunk(images))[0]  # (B, A, 3 + fields, 16, 16)
    fields = cells[:, :, 3:].split(verifier.thing_sizes, dim=2)[list(THING_FIELDS).index(group)]
    best = cells[:, :, 0].flatten(1).argmax(1)
    seen = fields.movedim(2, -1).flatten(1, 3)[torch.arange(len(images)), best]  # (B, words)
    words = list(THING_FIELDS[group])
    odds: Tensor = seen[:, words.index(more)] - seen[:, words.index(less)]
    return odds


def monotone(odds: Tensor) -> bool:
    """Does it rise, and never fall back by more than a tenth of the rise?"""
    rise = float(odds[-1] - odds[0])
    return rise > 0 and float(odds.diff().min()) >= -BACK * rise


class Bench:
    """The strips of one model, and what is counted of them."""

    def __init__(self, name: str, judge: Judge, size: int) -> None:
        self.name, self.model, self.judge = Path(name).name, models.load(name), judge
        data = {"source": "scenes", "levels": {"one": 1.0}}
        self.sliders = {g: latent_edits.slider(self.model, self.name, data, *SLIDERS[g], size=size) for g in SLIDERS}
        self.rises: dict[str, list[bool]] = {group: [] for group in SLIDERS}
        self.reached: dict[str, list[bool]] = {group: [] for group in SLIDERS}
        self.kept: dict[str, list[tuple[int, int]]] = {group: [] for group in SLIDERS}
        self.strips: list[tuple[str, Tensor]] = []

    def strip(self, case: Case, group: str) -> None:
        """One case along one slider."""
        more, less = SLIDERS[group]
        moved = result(self.sliders[group](pictures(case.image[None])[0]))
        odds = log_odds(self.judge, moved, group, more, less)
        self.rises[group].append(monotone(odds))
        self.reached[group].append(bool(odds[-1] > 0))
        self.kept[group].append(self.others(case.scene, moved, group))
        if len(self.rises[group]) <= SHOWN:
            self.strips.append((f"{self.name} {less}-{more}", moved))

    def others(self, scene: Scene, moved: Tensor, group: str) -> tuple[int, int]:
        """Of the other facts that the unmoved picture shows, how many are right in the moved ones, and how many."""
        facts = [fact for fact in visible(scene) if fact.group != group]
        still = latent_edits.STRENGTHS.index(0.0)
        right = [self.judge.check(reading, scene, facts) for reading in self.judge.read(moved)]
        shown = [k for k, ok in enumerate(right[still]) if ok]
        return sum(row[k] for i, row in enumerate(right) if i != still for k in shown), len(shown) * (len(moved) - 1)

    def told(self) -> dict[str, Any]:
        """Every share with its interval."""
        out: dict[str, Any] = {}
        for group in SLIDERS:
            rises, kept, reached = self.rises[group], self.kept[group], self.reached[group]
            if rises:
                out[group] = {
                    "monotone": wilson(sum(rises), len(rises)),
                    "reached": wilson(sum(reached), len(reached)),
                    "kept": share([right for right, _ in kept], [of for _, of in kept]),
                }
        return out


def shows(group: str, scene: Scene) -> bool:
    """Is there something to be moved?"""
    return any(fact.group == group for fact in visible(scene))


def table(benches: Sequence[Bench]) -> str:
    """All models as a Markdown table."""
    lines = ["| model | slider | monotone | end reached | others kept | n |", "|---|---|--:|--:|--:|--:|"]
    for bench in benches:
        for group, found in bench.told().items():
            less, more = reversed(SLIDERS[group])
            cells = [percent(one) for one in found.values()]
            lines.append(f"| {bench.name} | {less} to {more} | {' | '.join(cells)} | {found['monotone'].count} |")
    return "\n".join(lines)


def save(benches: Sequence[Bench], out: Path) -> str:
    """Write what is known; the table is returned."""
    told = {b.name: {g: {k: v and vars(v) for k, v in one.items()} for g, one in b.told().items()} for b in benches}
    write_json(out / "sliders.json", told)
    for bench in benches:
        names = [f"{title} {amount:+g}" for title, _ in bench.strips for amount in latent_edits.STRENGTHS]
        columns = len(latent_edits.STRENGTHS)
        latent_edits.strip(torch.cat([x for _, x in bench.strips]), names, out / f"{bench.name}.png", columns)
    text = table(benches)
    (out / "sliders.md").write_text(text + "\n", "utf-8")
    return text


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="tranh-1", help="names or folders, with commas between")
    parser.add_argument("--count", type=int, default=200, help="cases of each slider")
    parser.add_argument("--size", type=int, default=64, help="of the pictures given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("edits-sliders"))
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    judge, drawn = Judge(models.verifier()), models.load()
    benches = [Bench(name, judge, args.size) for name in args.models.split(",")]
    for group in SLIDERS:
        suits = cases(judge, args.count, drawn, size=args.size, seed=args.seed, suits=partial(shows, group))
        for number, case in enumerate(suits):
            for bench in benches:
                bench.strip(case, group)
            print(f"{group} {number + 1}/{args.count}", flush=True)
            if due(number + 1):
                save(benches, args.out)
    print(save(benches, args.out))


if __name__ == "__main__":
    main()
