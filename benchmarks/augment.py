"""Does augmentation by a VAE, or a GAN, help a small classifier that has few labelled digits?

    python benchmarks/augment.py --shares 5,10,20 --seeds 5
    python benchmarks/augment.py --family gan --shares 5,10,20 --seeds 5 --sheet digits.png
    python benchmarks/augment.py --shares 3,5,10 --rare 5 --seeds 8

For every share and seed: so many digits of each class are drawn from the training pictures, a class-conditional model
learns from them alone (or, with ``--unlabelled``, from all training pictures, the others without caption), and a
classifier (scikit-learn's MLP with one hidden layer of 64) is trained on the few, and on the few and those drawn. With
``--rare K`` only K of the classes, by the seed, have few; the others have ``--per-class``, and the model can carry over
from them how digits vary. It draws for classes that have few; without it, their pictures are repeated as often.
Told is the share right of the test digits (with ``--rare``, of those classes), and the gain with its interval over
seeds, which are paired.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from tranh.engine.sheet import sheet
from tranh.engine.step import Stepper, make_accelerator
from tranh.families.gan import Gan
from tranh.families.vae import Vae
from tranh.metrics.interval import bootstrap, paired
from tranh.types import Batch, Stage

BOS, NULL, EOS = 2, 3, 1
FIRST = 4
"""The token of digit 0."""


def tokens_of(labels: torch.Tensor) -> torch.Tensor:
    """(N,) digits, -1 for no label, as captions of three tokens, (N, 3)."""
    middle = torch.where(labels >= 0, labels + FIRST, NULL)
    return torch.stack([torch.full_like(labels, BOS), middle, torch.full_like(labels, EOS)], dim=1)


WORDS: dict[str, Any] = {
    "vocab": FIRST + 10, "max_len": 3, "image_size": 8, "text_dim": 32, "text_depth": 1, "text_heads": 2,
}  # fmt: skip


def vae() -> Vae:
    return Vae(**WORDS, form="dense", latent=10, width=256, scale=0.25, drop=0.0)


def gan() -> Gan:
    sizes: dict[str, Any] = {"dim": 64, "depth": 2, "patch": 2, "critic_patch": 2, "critic_width": 32, "critic_dim": 64}
    return Gan(**WORDS, **sizes, noise=10, heads=2, critic_heads=2, match=0.0)


FAMILIES: dict[str, tuple[Callable[[], Vae | Gan], float]] = {"vae": (vae, 2e-3), "gan": (gan, 1e-3)}
"""How each is built, and its learning rate."""


def learned(name: str, images: torch.Tensor, labels: torch.Tensor, seed: int, steps: int) -> Vae | Gan:
    """A model of labelled pictures (N, 3, 8, 8)."""
    torch.manual_seed(seed)
    build, lr = FAMILIES[name]
    family = build()
    stage = Stage(name, steps=steps, batch=64, lr=lr, ema=(), precision="fp32", seed=seed)
    stepper, g = Stepper(stage, family, make_accelerator()), torch.Generator().manual_seed(seed)
    told = (labels >= 0).float() + 1e-9
    told = 0.5 * told / told.sum() + 0.5 / len(labels)  # half of a batch labelled, where few are
    family.train()
    for step in range(steps):
        rows = torch.multinomial(told, stage.batch, replacement=True, generator=g)
        tokens = tokens_of(labels[rows])
        stepper(Batch(images[rows], [""] * len(rows), tokens, tokens > 0, rows), step)
    return family.eval()


@torch.no_grad()
def drawn(family: Vae | Gan, digits: Sequence[int], per_class: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures of some classes, and their labels."""
    labels = torch.tensor(digits).repeat_interleave(per_class)
    tokens = tokens_of(labels)
    *_, last = family.draw(tokens, tokens > 0, [10_000 * (seed + 1) + k for k in range(len(labels))])
    return last.x, labels


def share_right(x: torch.Tensor, y: torch.Tensor, test: tuple[torch.Tensor, torch.Tensor], seed: int) -> float:
    """A small classifier's share right of the test pictures."""
    rounds = max(20, min(300, 60_000 // len(x)))  # fewer rounds of more pictures
    model = MLPClassifier((64,), alpha=1e-3, max_iter=rounds, tol=0, n_iter_no_change=rounds, random_state=seed)
    model.fit(x.flatten(1).numpy(), y.numpy())
    return float((model.predict(test[0].flatten(1).numpy()) == test[1].numpy()).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shares", default="5,10,20,50", help="labelled digits of each class")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--per-class", type=int, default=100, help="drawn pictures of each class")
    parser.add_argument("--family", choices=FAMILIES, default="vae")
    parser.add_argument("--steps", type=int, default=600, help="of the model")
    parser.add_argument("--rare", type=int, default=10, help="classes that have few; the others have --per-class")
    parser.add_argument("--unlabelled", action="store_true", help="the model also sees the other pictures, unlabelled")
    parser.add_argument("--sheet", type=Path, help="write what was drawn last as a picture")
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # rounds are counted
    data = load_digits()
    images = torch.from_numpy(data.images / 8 - 1).float()[:, None].expand(-1, 3, -1, -1).contiguous()
    labels = torch.from_numpy(data.target)
    held = torch.arange(len(labels)) % 5 == 4
    test = (images[held], labels[held])
    x, y = images[~held], labels[~held]
    began = time.perf_counter()
    print("| labelled per class | without | with | gain, percentage points |\n|--:|--:|--:|--:|")
    for share in map(int, args.shares.split(",")):
        without, with_them = [], []
        for seed in range(args.seeds):
            rng = np.random.default_rng(seed)
            order, rare = rng.permutation(len(y)), sorted(rng.permutation(10)[: args.rare].tolist())
            many = {digit: share if digit in rare else args.per_class for digit in range(10)}
            few = torch.cat([torch.tensor([i for i in order if y[i] == d][: many[d]]) for d in range(10)])
            known = torch.full_like(y, -1)
            known[few] = y[few]
            seen = torch.arange(len(y)) if args.unlabelled else few
            family = learned(args.family, x[seen], known[seen], seed, args.steps)
            made, classes = drawn(family, rare, args.per_class - share, seed)
            often = torch.cat([few[y[few] == d].repeat(args.per_class // many[d]) for d in range(10)])  # alike
            asked = torch.isin(test[1], torch.tensor(rare))
            judged = (test[0][asked], test[1][asked])
            without.append(share_right(x[often], y[often], judged, seed))
            both = few if args.rare < 10 else often
            named = torch.cat([y[both], classes])
            with_them.append(share_right(torch.cat([x[both], made]), named, judged, seed))
        a, b, gain = bootstrap(without), bootstrap(with_them), paired(without, with_them)
        told = f"{100 * gain.value:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
        print(f"| {share} | {100 * a.value:.1f} % | {100 * b.value:.1f} % | {told} |", flush=True)
    if args.sheet:
        rows = torch.cat([made[classes == digit][:10] for digit in rare])
        sheet(rows, [""] * len(rows), columns=10, side=32).save(args.sheet)
    print(f"{args.seeds} seeds, {args.per_class} drawn per class, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
