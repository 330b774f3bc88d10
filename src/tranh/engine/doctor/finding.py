"""What the doctor says: one finding per check, and the file beside the run that keeps those made on the way.

It knows no check. A finding is about one named thing; a fault has a remedy in plain words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from tranh.engine.rundir import RunDir
from tranh.files import write_json
from tranh.types import TranhError

FILE = "doctor.json"


@dataclass(frozen=True)
class Finding:
    """One check's answer.

    Attributes:
        name: of the check, as in docs/doctor.md.
        ok: nothing to mend.
        seen: what was measured, with its numbers and what was expected.
        remedy: what to do; empty if ok.
        sure: a fault that training cannot get over; otherwise a warning.
        stage: of the recipe, where several were examined.
    """

    name: str
    ok: bool
    seen: str
    remedy: str = ""
    sure: bool = True
    stage: str = ""

    @property
    def fault(self) -> bool:
        return not self.ok and self.sure

    def __str__(self) -> str:
        where = f"{self.stage}: " if self.stage else ""
        if self.ok:
            return f"{where}{self.name}: {self.seen}"
        return f"{where}{self.name} {'FAULT' if self.sure else 'warning'}: {self.seen}. {self.remedy}"


@dataclass(frozen=True)
class Diagnosis:
    """All findings of an examination, in the order asked; the last event's ``result``.

    ``not_asked`` says what could not be judged and why (an earlier fault explains everything after it).
    """

    findings: tuple[Finding, ...]
    not_asked: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        return all(f.ok for f in self.findings)

    @property
    def faults(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.fault)


def fine(name: str, seen: str) -> Finding:
    return Finding(name, True, seen)


def fault(name: str, seen: str, remedy: str) -> Finding:
    return Finding(name, False, seen, remedy)


def warning(name: str, seen: str, remedy: str) -> Finding:
    return Finding(name, False, seen, remedy, sure=False)


def placed(findings: Iterable[Finding], stage: str) -> list[Finding]:
    """The same findings with the stage they are about."""
    return [replace(f, stage=stage) for f in findings]


def any_fault(findings: Iterable[Finding]) -> bool:
    return any(f.fault for f in findings)


def refuse(findings: Sequence[Finding]) -> None:
    """Stop before time is spent on a run that cannot work.

    Raises:
        TranhError: there is a sure fault; the message holds all of them with their remedies.
    """
    found = [str(f) for f in findings if f.fault]
    if found:
        raise TranhError(
            "the doctor refuses to start this training:\n- " + "\n- ".join(found) + "\nMend it, or override the doctor."
        )


def keep(run: RunDir, step: int, findings: Sequence[Finding]) -> None:
    """Write what was found so far beside the run; also when all is well, so that one can see it was looked at."""
    write_json(run.path / FILE, {"format": 1, "step": step, "findings": [asdict(f) for f in findings]})
