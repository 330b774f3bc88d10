"""How well the verifier itself reads true pictures: no score of a model means more than this.

    python benchmarks/ceiling.py [--model verifier-1] [--count 1000] [--splits test,unseen]

Asked of every picture: every fact that it shows. Exact: all of them right.
"""

from __future__ import annotations

import argparse
from collections import Counter

import tranh
from tranh.recipes.judge import Judge, ceiling


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="verifier-1")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--splits", default="test,unseen")
    args = parser.parse_args()
    judge = Judge(tranh.load(args.model))
    print("| level | split | pictures | exact | facts | most often wrong |\n|---|---|--:|--:|--:|---|")
    for level in ("one", "two", "full"):
        for split in args.splits.split(","):
            verdicts = list(ceiling(judge, level, split, args.count))
            wrong = Counter(fact.group for verdict in verdicts for fact in verdict.wrong)
            facts = sum(len(verdict.facts) for verdict in verdicts)
            exact = sum(verdict.exact for verdict in verdicts) / len(verdicts)
            worst = ", ".join(f"{group} {n}" for group, n in wrong.most_common(3))
            right = 1 - sum(wrong.values()) / facts
            print(f"| {level} | {split} | {len(verdicts)} | {exact:.1%} | {right:.2%} | {worst} |", flush=True)


if __name__ == "__main__":
    main()
