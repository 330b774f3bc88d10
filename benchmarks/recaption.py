"""What dense captions are worth: one recipe trained twice, on short captions and on those written anew, judged alike.

python benchmarks/recaption.py OUT [--count 10000] [--minutes 20] [--recipe direct] [--prompts 200] [--expander DIR]

The data set is a folder of Scenes (level one) with one short caption per picture and language. The verifier writes
dense ones from the pictures alone. Both models get the same pictures, the same minutes and the same seed. They are
asked for held-out scenes with short prompts, with dense ones, and with short ones expanded by an exported expander.
The same command goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from tranh.data.scenes.draw import render
from tranh.data.scenes.layout import scene
from tranh.data.scenes.source import say
from tranh.engine.progress import show
from tranh.metrics.report import percent
from tranh.recipes import evaluate, models, recaption, run
from tranh.recipes.expander import Expansion
from tranh.recipes.exported import export
from tranh.types import Event

SIDE = 128


def draw(folder: Path, index: int) -> str:
    """One picture and its line of metadata."""
    value, name = scene("one", "train", index), f"{index:06d}.png"
    if not (folder / name).exists():
        Image.fromarray(render(value, SIDE)).save(folder / name)
    said = {f"text_{code}": say(value, code, "short", "recaption", index)[0] for code in ("en", "vi")}
    return json.dumps({"file_name": name, **said}, ensure_ascii=False) + "\n"


def make(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "metadata.jsonl").exists():
        with ProcessPoolExecutor() as pool:
            lines = list(pool.map(partial(draw, folder), range(count), chunksize=64))
        (folder / "metadata.jsonl").write_text("".join(lines), "utf-8")


def done(events: Iterator[Event]) -> Any:
    result = None
    for event in show(events):
        result = event.result or result
    return result


class Expanding:
    """A system whose prompts are expanded before it is asked."""

    def __init__(self, system: Any, expansion: Expansion) -> None:
        self.system, self.expansion, self.size = system, expansion, system.size
        self.hash = f"{system.hash}, expanded"

    def generate_batch(self, prompts: list[str], seeds: list[int], *how: Any) -> Tensor:
        fuller = [self.expansion.expand(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]
        pictures: Tensor = self.system.generate_batch(fuller, seeds, *how)
        return pictures


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--recipe", default="direct")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--expander", help="an exported `tranh train expander`")
    args = parser.parse_args()
    short, dense = args.out / "short", args.out / "dense"
    make(short, args.count)
    done(recaption.recaption(str(short), dense, recaption.captioner("verifier"), name="verifier"))
    print("| trained on | prompts | language | facts right | whole pictures right |")
    print("|---|---|---|--:|--:|")
    for data in (short, dense):
        root, model = args.out / f"run-{data.name}", args.out / f"model-{data.name}"
        done(run.train(run.find(args.recipe, {"source": str(data)}), root, minutes=args.minutes))
        if not model.exists():
            export(root, model)
        system = models.load(model)
        ways = [("short", system, "short"), ("dense", system, "dense")]
        if args.expander is not None:
            ways.append(("expanded", Expanding(system, models.load(args.expander)), "short"))
        for asked, who, density in ways:
            where = args.out / f"report-{data.name}-{asked}"
            value = done(
                evaluate.evaluate(
                    who, models.verifier(), where, levels=("one",), splits=("test",), languages=("en", "vi"),
                    count=args.prompts, density=density, prompts=0,
                )
            )  # fmt: skip
            for row in value["scores"]:
                numbers = " | ".join(percent(row[what]) for what in ("facts", "exact"))
                print(f"| {data.name} | {asked} | {row['language']} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
