"""Whether a run and the runs it stands on belong together: hashes as recorded, and one tokenizer for all.

It knows files, not networks.
"""

from __future__ import annotations

from collections.abc import Mapping

from tranh.engine.doctor.finding import Finding, fault, fine
from tranh.engine.rundir import RunDir
from tranh.types import TranhError

RECORDED, TOKENIZER = "parents are the recorded ones", "one tokenizer"
FILE = "tokenizer.json"


def parents_agree(recorded: Mapping[str, str], parents: Mapping[str, RunDir]) -> Finding | None:
    """The runs that are here now are those the child was trained on; None if it stands on none.

    Args:
        recorded: part name -> hash in the child's recipe.json; parents: part name -> run.
    """
    for name, digest in recorded.items():
        run = parents.get(name)
        try:
            now = run.hash() if run is not None else None
        except TranhError as error:
            now, run = None, run
            return fault(RECORDED, f"{name} cannot be read: {error}", f"Restore the run of {name}, or train it again.")
        if now is None or run is None:
            return fault(RECORDED, f"the run of {name} is not here", f"Restore the run with hash {digest[:12]}.")
        if now != digest:
            return fault(
                RECORDED,
                f"{name} was {digest[:12]} when this was trained; {run.path} is {now[:12]}",
                f"Train this stage again on the {name} that is here, or restore the old one: their embeddings differ.",
            )
    return fine(RECORDED, ", ".join(f"{k} {v[:12]}" for k, v in recorded.items())) if recorded else None


def one_tokenizer(own: bytes | None, parents: Mapping[str, RunDir]) -> Finding | None:
    """Child and parents number words alike; None if there is nothing to compare.

    Args:
        own: content of the child's tokenizer.json.
    """
    compared = []
    for name, run in parents.items():
        path = run.path / FILE
        if own is None or not path.exists():
            continue
        if path.read_bytes() != own:
            return fault(
                TOKENIZER,
                f"{path} differs from the tokenizer of this run: {name} reads other words than are written",
                "Train both with the same tokenizer; the same words must have the same numbers.",
            )
        compared.append(name)
    return fine(TOKENIZER, f"the same as of {', '.join(compared)}") if compared else None
