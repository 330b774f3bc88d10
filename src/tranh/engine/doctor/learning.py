"""What a trial says: whether it learns, whether the rates are right, whether captions matter and no part is dead.

Pure functions of a :class:`Trial`, and of a family's parameters. They take no step themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

from tranh.engine.doctor.finding import Finding, fault, fine, warning
from tranh.engine.doctor.trial import SAFE, Trial
from tranh.types import Batch, Family, Stage

RATE, LEARNS, REACHES = "learning rate", "learns one batch", "captions reach the network"
ALIVE, FROZEN, UPDATED = "all parts get a gradient", "nothing is frozen", "all parts are updated"
PARENTS = "parents are read"
FALL = 0.98
"""Share of its first value that the figure must have fallen below after a short trial."""

WILD = 2.0
"""Weights that move by so many times their own length within a trial are thrown about, whatever the figure says."""


def learning_rate(stage: Stage, family: Family, own: Trial, safe: Trial | None) -> Finding:
    """Whether the stage's rates are the ones to learn with.

    Args:
        own: trial at the stage's rates; safe: at :data:`SAFE`, if the own did not go well.
    """
    zero = zero_rates(stage, family)
    if zero:
        return fault(RATE, f"{zero} is 0: nothing will be learned", "Set it: lr=1e-3, muon_lr=2e-3 are a start.")
    rates = f"lr {stage.lr:g}, muon_lr {stage.muon_lr:g}"
    seen = f"{rates}: the figure goes to {own.fell:.2g} of its first value, weights move by {own.moved:.2g} of theirs"
    if safe is None or safe.fell >= FALL or (own.fell < FALL and not _wild(own, safe)):
        return fine(RATE, seen)
    seen += f"; at lr {SAFE[0]:g}, muon_lr {SAFE[1]:g} it goes to {safe.fell:.2g}"
    alone = len(family.phases) == 1  # a GAN's figure may rise before it falls
    if own.bad or _wild(own, safe) or (alone and own.fell > 1.2 and own.moved > 3 * safe.moved):
        size = stage.lr / SAFE[0]
        return fault(RATE, f"the rates are too high: {seen}", f"Divide them by {max(2, round(size))} or more.")
    if own.moved < 0.1 * safe.moved:
        return warning(RATE, f"the rates are very low: {seen}", "Multiply them by 10 and look again.")
    return warning(RATE, f"these rates do not work on one batch: {seen}", "Try half of them.")


def doubtful(own: Trial) -> bool:
    """Whether a second trial at safe rates must tell what is wrong, if anything is."""
    return own.fell >= FALL or own.moved > WILD


def _wild(own: Trial, safe: Trial) -> bool:
    return own.moved > max(WILD, 3 * safe.moved) and own.fell > safe.fell


def zero_rates(stage: Stage, family: Family) -> str:
    """Names of the rates that are 0 although an optimiser uses them."""
    used = {g.optimizer for phase in family.phases for g in family.param_groups(phase) if g.params}
    peaks = {"adamw": ("lr", stage.lr), "muon": ("muon_lr", stage.muon_lr)}
    return " and ".join(peaks[kind][0] for kind in sorted(used) if not peaks[kind][1] > 0)


def learns(family: Family, trial: Trial, steps: int) -> Finding:
    """One batch is learned by heart: all the way in a long trial, at all in a short one."""
    name, fell = family.overfit, trial.fell
    seen = f"{name} goes to {fell:.3g} of its first value in {len(trial.figures) - 1} steps on one batch"
    if trial.bad:
        return fault(
            LEARNS,
            f"{trial.bad} is not finite at step {len(trial.figures) - 1} even at low rates",
            "Look for a division by zero or a logarithm of zero in the loss.",
        )
    promise = family.overfit_below if steps >= 100 else FALL
    if fell < promise or (steps < 100 and len(family.phases) > 1):  # too short for a GAN to tell
        return fine(LEARNS, seen)
    if (steps >= 100 and fell >= FALL) or (len(family.phases) == 1 and fell >= 0.999):
        return fault(
            LEARNS,
            f"{seen}, expected < {promise:g}: this cannot learn",
            "Does the loss depend on the weights? Look for detach(), no_grad, and targets that are not in the input.",
        )
    return warning(LEARNS, f"{seen}, expected < {promise:g}", "More capacity or a simpler loss; see the family's page.")


def reaches(trial: Trial) -> Finding:
    """Other captions give another loss at all; how much is asked of the trained network."""
    if trial.gap > 1e-7:
        return fine(REACHES, f"shuffling captions changes the figure by {100 * trial.gap:.2g} % after a few steps")
    return fault(
        REACHES,
        "the caption does not reach the network: with shuffled captions the figure is the same to the last digit",
        "Check that tokens and mask are passed to the text encoder, that its output is passed on and not zeroed, "
        "that dropping captions does not drop all of them, and that captions end with the eos the network looks for.",
    )


def alive(trial: Trial) -> Finding:
    """Every trained parameter gets a gradient from some example."""
    if not trial.silent:
        return fine(ALIVE, f"all {trial.size} trained weights get one")
    share = sum(trial.silent.values()) / max(1, trial.size)
    seen = f"{_some(trial.silent)} get none: {100 * share:.2g} % of the trained weights stay what they are"
    remedy = "Is there a detach() or no_grad before them, a branch never taken, or is their input missing in the data?"
    return fault(ALIVE, seen, remedy) if share > 0.01 else warning(ALIVE, seen, remedy)


def _some(names: Mapping[str, int]) -> str:
    more = len(names) - 4
    return ", ".join(list(names)[:4]) + (f" and {more} more" if more > 0 else "")


def trained_parts(family: Family) -> list[Finding]:
    """What is frozen, and what no optimiser was given."""
    named = {n: p for n, p in family.named_parameters() if p.numel()}
    total = sum(p.numel() for p in named.values())
    frozen = {n: p.numel() for n, p in named.items() if not p.requires_grad}
    held = {id(p) for phase in family.phases for g in family.param_groups(phase) for p in g.params}
    missed = {n: p.numel() for n, p in named.items() if p.requires_grad and id(p) not in held}
    found = [fine(FROZEN, f"all {total} weights are trained")]
    if frozen:
        share = sum(frozen.values()) / total
        seen = f"{_some(frozen)} are frozen: {100 * share:.2g} % of the weights"
        remedy = "If that is not meant, call requires_grad_(True) on them before training."
        found = [fault(FROZEN, seen, remedy) if share > 0.01 else warning(FROZEN, seen, remedy)]
    if missed:
        seen = f"{_some(missed)} belong to no optimiser"
        return [*found, fault(UPDATED, seen, "Name them in the family's param_groups(phase), or freeze them.")]
    return [*found, fine(UPDATED, f"{len(named)} tensors in {', '.join(family.phases)}")]


def parents_given(family: Family, batch: Batch) -> Finding | None:
    """Every parent the family stands on has said something about this batch."""
    absent = [p for p in family.parents if not any(k.startswith(f"{p}.") for k in batch.parts)]
    if absent:
        return fault(
            PARENTS,
            f"nothing of {', '.join(absent)} is in the batch's parts ({', '.join(batch.parts) or 'none'})",
            "Name the parent in the stage and attach its outputs (engine.frozen.attach).",
        )
    return fine(PARENTS, ", ".join(batch.parts)) if family.parents else None
