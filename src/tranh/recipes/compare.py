"""Systems side by side: the same data, the same budget for all parts of each, the same questions, one table.

It knows recipes by the files there are. A system that fails is told with its reason and the others go on; killed at any
moment, the same call goes on: trainings by their runs, evaluations by their journals, and systems whose runs are
elsewhere by what is left of them in ``records``.
"""

from __future__ import annotations

import importlib
import logging
import shutil
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tranh.data.scenes.world import LEVELS
from tranh.engine.doctor.batches import reads_captions
from tranh.engine.rundir import RunDir
from tranh.files import read_json, write_bytes, write_json
from tranh.metrics.measured import Measured
from tranh.metrics.network import Network
from tranh.recipes import compare_cost as cost
from tranh.recipes import compare_page, doctor, evaluate_pictures, models, networks, own, run
from tranh.recipes import compare_quality as quality
from tranh.recipes import compare_records as records
from tranh.recipes import evaluate as evaluation
from tranh.recipes.caption_judge import CaptionJudge
from tranh.recipes.compare_records import Record
from tranh.recipes.enlarged import Enlarged
from tranh.recipes.exported import export
from tranh.recipes.judge import SIDE, Detector
from tranh.recipes.sources import assets_of, get_ready, source_of
from tranh.types import Event, Generates, Recipe, TranhError

ORDER = ("vae", "gan", "dmgan", "flow", "dalle", "glide", "unclip-ar", "unclip", "latent")
"""Compared where none are named, as far as they are there; any recipe can be named."""

EVERY = 5.0
"""Seconds after which the time spent is written down, at the next event: a kill forgets as much, or what has passed of
the step, of the doctor's first look or of measuring the speed in which it came."""

_logger = logging.getLogger("tranh.compare")


@dataclass(frozen=True)
class Terms:
    """What every system is given and asked alike.

    Attributes:
        minutes, flops: wall-clock time, or floating-point operations, of the training of all parts; one of them.
        data: ``{"source": PATH}`` of own pictures, None for Scenes; level: of Scenes.
        count: scenes asked for per split and language, or pictures per split.
        languages: of the captions; all there are if empty.
        prompts, samples: prompts that are drawn several times, for the variety within one.
    """

    minutes: float | None = 20.0
    flops: float | None = None
    data: Mapping[str, Any] | None = None
    level: str = "one"
    count: int = 500
    languages: Sequence[str] = ()
    prompts: int = 16
    samples: int = 8

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.flops is None) or not (self.minutes or self.flops or 0) > 0:
            raise TranhError(f"minutes={self.minutes}, flops={self.flops}: give one of them, a positive number.")
        if self.level not in LEVELS:
            raise TranhError(f"level is {self.level!r}; allowed: {', '.join(LEVELS)}.")
        if self.count < 2:
            raise TranhError(f"count is {self.count}; at least 2 are needed.")

    @property
    def trained(self) -> dict[str, Any]:
        """What a training depends on: another needs another folder."""
        data = dict(self.data) if self.data else {"source": "scenes", "levels": {self.level: 1.0}}
        return {"minutes": self.minutes, "flops": self.flops, "data": data}


@dataclass
class System:
    """One of those compared, as far as it has come.

    Attributes:
        failed: why it is not there, empty if it is.
        cells: what was measured, as JSON; each has a ``group``.
        why: group -> why nothing of it could be measured.
        held: the loaded system, if it draws.
        record: what an earlier comparison left of it, in the place of all that.
    """

    name: str
    root: Path
    recipe: Recipe | None = None
    failed: str = ""
    hash: str = ""
    cells: list[dict[str, Any]] = field(default_factory=list)
    why: dict[str, str] = field(default_factory=dict)
    held: Any = None
    record: Record | None = None

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def evaluation(self) -> Path:
        return self.root / "evaluation"

    def add(self, group: str, cells: Sequence[quality.Cell]) -> None:
        self.cells += [cell.json() | {"group": group} for cell in cells]

    def value(self) -> dict[str, Any]:
        """What ``compare.json`` holds of it."""
        if self.record:
            return self.record.value
        return {
            "name": self.name,
            "failed": self.failed,
            "hash": self.hash,
            "machine": compare_page.machine(),
            "stages": {k: v.family for k, v in self.recipe.stages.items()} if self.recipe else {},
            "cells": self.cells,
            "why": self.why,
        }

    def logs(self) -> compare_page.Logs:
        if self.record:
            return self.record.logs
        return compare_page.logs(self.run, self.recipe.stages if self.recipe else ())

    def firsts(self) -> Sequence[compare_page.First]:
        """What it drew for the captions of the sheet; nothing if it does not draw."""
        if self.record:
            return self.record.firsts
        return compare_page.firsts(self.evaluation) if self.held is not None and not self.failed else ()


def known() -> tuple[str, ...]:
    """Names of all that can be compared: every recipe, the usual ones first."""
    found = [name.replace("_", "-") for name in run.names()]
    return tuple(name for name in ORDER if name in found) + tuple(name for name in found if name not in ORDER)


def chosen(name: str, data: Mapping[str, Any]) -> Recipe:
    """The recipe that stands for a name: its module's ``compared``, if there is one, else its ``recipe``, which of
    Scenes may take what it alone can learn from."""
    title = name.replace("-", "_")
    compared = getattr(importlib.import_module(f"{run.PACKAGE}.{title}"), "compared", None)
    if compared is None and data["source"] == "scenes" and not run.takes_data(title):
        return run.find(title)
    recipe: Recipe = compared(data) if compared else run.find(title, data)
    return recipe


def compare(
    names: Sequence[str],
    out_dir: Path,
    terms: Terms,
    *,
    network: Network | None = None,
    judge: CaptionJudge | None = None,
    verifier: Detector | None = None,
) -> Iterator[Event]:
    """Train, evaluate and time systems, and write ``compare.json compare.md compare.html samples.png curves.png``.

    Args:
        names: of recipes, with ``-`` or ``_``; all the usual ones if empty.
        out_dir: gets the table, and under ``systems`` the runs; the same call goes on where it was stopped, with more
            names or a larger count too.
        network: that sets of pictures are compared in; the project's own if None.
        judge: of captions, for own pictures.
        verifier: of Scenes; the shipped one if None.

    Yields:
        Progress; the last event's ``result`` is what ``compare.json`` holds.

    Raises:
        TranhError: an unknown name, or the folder holds a comparison on other terms.
        KeyboardInterrupt: a training was asked to stop; it has saved.
    """
    there = known()
    names = [name.replace("_", "-") for name in names] or [name for name in ORDER if name in there]
    unknown = [name for name in names if name not in there]
    if unknown or not names or len(set(names)) < len(names):
        raise TranhError(f"families are {', '.join(names) or 'none'}; allowed, each once: {', '.join(there)}.")
    out = Path(out_dir)
    _same_terms(out, terms)
    network = network or networks.own()
    protocol = _protocol(terms, network)
    systems = [System(name, out / "systems" / name) for name in names]
    for system in systems:
        if not system.run.exists():
            system.record = records.read(out, system.name, protocol)
    for system in systems:
        if system.record is None:
            try:
                yield from _trained(system, terms)
                yield from _examined(system)
                yield from _evaluated(system, terms, network, judge, verifier)
                (system.root / "error.txt").unlink(missing_ok=True)  # of an earlier call
            except Exception as error:
                _failed(system, error)
        _write(out, systems, terms, protocol)
    yield from _timed(systems, out)
    yield Event("table", 1, 1, result=_write(out, systems, terms, protocol))


def _same_terms(out: Path, terms: Terms) -> None:
    file = out / "terms.json"
    if file.exists() and (old := read_json(file)) != terms.trained:
        changed = [f"{k}: {old.get(k)!r} there, {v!r} here" for k, v in terms.trained.items() if old.get(k) != v]
        raise TranhError(f"{out} holds a comparison on other terms ({'; '.join(changed)}). Use a new folder.")
    write_json(file, terms.trained)


def _failed(system: System, error: Exception) -> None:
    """Keep the reason; the whole of it in a file."""
    system.failed = f"{type(error).__name__}: {error}"
    _logger.warning("%s: %s", system.name, system.failed)
    write_bytes(system.root / "error.txt", traceback.format_exc().encode())


def _trained(system: System, terms: Terms) -> Iterator[Event]:
    """Train what is not finished, and count what it cost."""
    data = terms.trained["data"]
    system.recipe = recipe = chosen(system.name, data)
    yield from _ready(recipe)
    kept = system.root / "operations.json"
    per_step: dict[str, int] = read_json(kept) if kept.exists() else {}
    if terms.flops is not None:
        if not per_step:
            yield Event(f"{system.name}: counting", 0, 1)
            per_step = cost.of_steps(recipe, system.run)
            write_json(kept, per_step)
        recipe = cost.within(recipe, per_step, terms.flops)
    spent = system.root / "seconds.json"
    if not all(RunDir(system.run / stage).finished for stage in recipe.stages):
        before = float(read_json(spent)) if spent.exists() else 0.0
        begun = last = time.perf_counter()
        for event in run.train(recipe, system.run, minutes=terms.minutes):
            now = time.perf_counter()
            if now - last > EVERY or event.result is not None:
                write_json(spent, before + now - begun)
                last = now
            if event.result is not None and not event.result.finished:
                raise KeyboardInterrupt  # the engine has saved; it was asked to stop
            yield Event(f"{system.name}: {event.stage}", event.done, event.total, event.figures)
        write_json(spent, before + time.perf_counter() - begun)
    if not per_step:
        per_step = cost.of_steps(recipe, system.run)
        write_json(kept, per_step)
    system.add("cost", cost.told(
        cost.trained(recipe, system.run), per_step, float(read_json(spent)), asked=terms.minutes
    ))  # fmt: skip


def _ready(recipe: Recipe) -> Iterator[Event]:
    """Pictures drawn or prepared before the clock of the first system that needs them starts."""
    for stage in recipe.stages.values():
        for event in get_ready(stage.data):
            yield Event(event.stage, event.done, event.total, event.figures)
        source = source_of(stage.data, assets_of(stage.data))
        source.batch(0, 1, 0)
        source.validation(0, 1)


def _examined(system: System) -> Iterator[Event]:
    """Ask the doctor about every stage, once."""
    assert system.recipe is not None
    kept, key = system.root / "doctor.json", {name: RunDir(system.run / name).hash() for name in system.recipe.stages}
    told = read_json(kept) if kept.exists() else {}
    if told.get("key") != key:
        for event in doctor.examine(system.run, trial=False):
            if event.result is not None:
                found = [asdict(finding) for finding in event.result.findings]
                told = {"key": key, "findings": found, "not asked": list(event.result.not_asked)}
            yield Event(f"{system.name}: {event.stage}", event.done, event.total, event.figures)
        write_json(kept, told)
    faults, warnings = (
        [
            f"{one['stage']}: {one['name']}: {one['seen']}"
            for one in told["findings"]
            if not one["ok"] and one["sure"] == sure
        ]
        for sure in (True, False)
    )
    asked = {"checks": len(told["findings"]), "not asked": told["not asked"]}
    how = "tranh doctor, of all stages, without the trial that each began with"
    system.add("doctor", [
        cost.counted("faults", len(faults), how, asked | {"found": faults}, better="lower"),
        cost.counted("warnings", len(warnings), how, asked | {"found": warnings}, better="lower"),
    ])  # fmt: skip


def _evaluated(
    system: System, terms: Terms, network: Network, judge: CaptionJudge | None, verifier: Detector | None
) -> Iterator[Event]:
    """Export and load the system, judge its pictures, and rebuild held-out ones where a part autoencodes."""
    recipe = system.recipe
    assert recipe is not None
    rebuilt = quality.rebuilding(recipe, system.run)
    system.add("rebuilding", rebuilt)
    if not rebuilt:
        system.why["rebuilding"] = "no part of it takes a picture apart and puts it together again"
    held = _loaded(system, recipe)
    if not isinstance(held, Generates):
        for group in ("drawing", "captions", "sets", "speed"):
            system.why[group] = "it makes no pictures by itself"
        return
    system.held = drawing = Enlarged(held, SIDE)  # all are judged at one side, whatever each draws
    system.hash = drawing.hash
    if drawing.own != SIDE:
        system.why["size"] = f"draws at {drawing.own} px, {'enlarged' if drawing.own < SIDE else 'reduced'} to {SIDE}"
    named = {"family": drawing.name, "network": f"{network.name} ({network.hash})", "judge": judge and judge.hash}
    asked = {k: v for k, v in asdict(terms).items() if k in ("count", "languages", "prompts", "samples")}
    key = {"model": system.hash, **named, **asked, "languages": list(terms.languages)}
    kept = system.root / "quality.json"
    told = read_json(kept) if kept.exists() else {}
    if told.get("key") != key:
        cells: list[dict[str, Any]] = []
        if terms.data is None:
            yield from _asked_scenes(system, terms, network, verifier, cells)
        else:
            yield from _asked_pictures(system, terms, network, judge, cells)
        prompt = compare_page.prompts(system.evaluation)[0]
        cells += [cell.json() | {"group": "drawing"} for cell in cost.drawing(drawing, prompt)]
        told = {"key": key, "cells": cells}
        write_json(kept, told)
    system.cells += told["cells"]
    if not any(reads_captions(part) for part in drawing.parts.values()):
        system.why["captions"] = "it reads no captions"
        system.cells = [cell for cell in system.cells if cell["group"] != "captions"]
    elif terms.data is not None and judge is None:
        system.why["captions"] = "no judge of captions was given (--judge)"


def _loaded(system: System, recipe: Recipe) -> Any:
    """The exported system in the weights it was trained with; None for a recipe that has none."""
    if recipe.system is None:
        return None
    folder = system.root / "model"
    hashes = {name: one.hash() for name in recipe.parts if (one := RunDir(system.run / name)).finished}
    if (folder / "system.json").exists():
        there = read_json(folder / "system.json")["parts"]
        if {name: part["run"] for name, part in there.items()} == hashes:
            return models.load(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return models.load(export(system.run, folder, "fp32", {"name": system.name}))


def _asked_scenes(
    system: System, terms: Terms, network: Network, verifier: Detector | None, cells: list[dict[str, Any]]
) -> Iterator[Event]:
    report: dict[str, Any] = {}
    for event in evaluation.evaluate(
        system.held, verifier or models.verifier(), system.evaluation, levels=(terms.level,), count=terms.count,
        languages=tuple(terms.languages) or ("en", "vi"), prompts=terms.prompts, samples=terms.samples,
    ):  # fmt: skip
        report = event.result or report
        yield Event(f"{system.name}: {event.stage}", event.done, event.total, event.figures)
    cells += [cell.json() | {"group": "captions"} for cell in quality.followed(report)]
    cells += [
        cell.json() | {"group": "sets"}
        for cell in quality.sets_of_scenes(
            report, system.evaluation, terms.level, terms.count, network, terms.prompts, terms.samples
        )
    ]


def _asked_pictures(
    system: System, terms: Terms, network: Network, judge: CaptionJudge | None, cells: list[dict[str, Any]]
) -> Iterator[Event]:
    report: dict[str, Any] = {}
    for event in evaluate_pictures.evaluate(
        system.held, terms.data or {}, system.evaluation, judge=judge, network=network, count=terms.count,
        languages=terms.languages, size=SIDE, prompts=terms.prompts, samples=terms.samples, allow_few=True,
    ):  # fmt: skip
        report = event.result or report
        yield Event(f"{system.name}: {event.stage}", event.done, event.total, event.figures)
    for cell in quality.of_pictures(report):
        captions = any(cell["name"].startswith(word) for word in quality.MATCHED)
        cells.append(cell | {"group": "captions" if captions else "sets"})


def _timed(systems: Sequence[System], out: Path) -> Iterator[Event]:
    """Time all that draw, in one go; again only if they are others."""
    held = {system.name: system.held for system in systems if system.held is not None and not system.failed}
    if not held:
        return
    key, kept = {name: one.hash for name, one in held.items()}, out / "timing.json"
    told = read_json(kept) if kept.exists() else {}
    if told.get("key") != key or told.get("machine") != compare_page.machine():
        said = compare_page.prompts(next(s for s in systems if s.name in held).evaluation)[: cost.MANY]
        found: Mapping[str, Sequence[Measured]] = {}
        for event in cost.timed(held, said):
            found = event.result or found
            yield Event(event.stage, event.done, event.total)
        cells = {name: [cell.json() | {"group": "speed"} for cell in one] for name, one in found.items()}
        told = {"key": key, "machine": compare_page.machine(), "cells": cells}
        write_json(kept, told)
    for system in systems:
        system.cells += told["cells"].get(system.name, [])


def _protocol(terms: Terms, network: Network) -> dict[str, Any]:
    """What every number of the table depends on, whatever the system."""
    asked = {"count": terms.count, "languages": list(terms.languages) or "all", "prompts": terms.prompts}
    return terms.trained | asked | {"samples": terms.samples, "network": f"{network.name} ({network.hash})"}


def _write(out: Path, systems: Sequence[System], terms: Terms, protocol: Mapping[str, Any]) -> dict[str, Any]:
    """The pages, and a record of every system that is done; returns what ``compare.json`` holds."""
    told = {system.name: system.value() for system in systems}
    firsts = {system.name: system.firsts() for system in systems}
    logs = {system.name: system.logs() for system in systems}
    for system in systems:
        if system.record is None and system.cells and not system.failed:
            name = system.name
            records.write(out, Record(protocol, told[name], logs[name], firsts[name]))
    value = {"protocol": dict(protocol), "machine": compare_page.machine(), "systems": list(told.values())}
    compare_page.write(out, value, _shown(firsts, terms), logs)
    return value


def _shown(firsts: Mapping[str, Sequence[compare_page.First]], terms: Terms) -> list[compare_page.Shown]:
    """The first captions of the held-out pictures, a language after another; nobody chose them."""
    drawn = {name: found for name, found in firsts.items() if found}
    if terms.data is None or not drawn:
        return compare_page.shown(drawn, terms.level, None)
    return compare_page.shown(drawn, None, own.untold(terms.data, SIDE))
