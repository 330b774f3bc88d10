"""The report of a run for people: ``report.html`` in its folder, rewritten as it goes on, and one page for a recipe.

It reads what the run has written and nothing else; a report that cannot be made costs a warning, never the training.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from tranh.engine import page
from tranh.engine.curves import FAILED, curves, panels
from tranh.engine.doctor.finding import FILE as FINDINGS
from tranh.engine.log import read_log
from tranh.engine.page import heading, note, picture, settings, span, table, text
from tranh.engine.rundir import RunDir
from tranh.files import read_json, write_bytes
from tranh.types import Recipe, Stage

AGAIN = 60
"""Seconds after which the page of a run that is going on is loaded again."""
Lines = Sequence[Mapping[str, Any]]
_logger = logging.getLogger("tranh.engine")


def write(run: RunDir, log: Lines | None = None) -> None:
    """Write the report of a run; ``log`` are the lines of its log, if they have been read already."""
    with _harmless(run.path):
        write_bytes(run.report, stage_page(run, read_log(run.log) if log is None else log).encode())


def write_overview(root: Path, recipe: Recipe) -> Path:
    """Write the page of a recipe that links its stages' reports; returns where it is."""
    path = root / "report.html"
    with _harmless(root):
        write_bytes(path, overview(root, recipe).encode())
    return path


@contextmanager
def _harmless(where: Path) -> Iterator[None]:
    try:
        yield
    except Exception:
        _logger.warning("no report of %s", where, exc_info=True)


def seconds_left(log: Lines, steps: int) -> float | None:
    """What the rest of a run takes at the speed of its last hundred steps; None before the first."""
    spent = [line["seconds"] for line in log[-100:] if isinstance(line.get("seconds"), (int, float))]
    return median(spent) * max(0, steps - log[-1]["step"] - 1) if spent else None


def stage_page(run: RunDir, log: Lines) -> str:
    """The page of one run."""
    about = run.recipe()
    stage, name = run.stage(), str(about["name"])
    measured = read_log(run.measures)
    samples = sorted(run.samples.glob("step_*.png"))
    parts = [
        f"<p class=quiet>{page.link('../report.html', 'all stages')}</p>" if _of_a_recipe(run) else "",
        heading(name if name == stage.family else f"{name}: {stage.family}", 1),
        *_standing(run, stage, log),
        *_warnings(log, measured),
        *_samples(samples),
        heading("Curves"),
        page.panels([picture(png, title, shown=False) for title, png in panels(log, measured).items()]),
        *_measures(stage, measured),
        *_findings(run),
        heading("Settings"),
        settings(told(stage)),
        heading("Where it stands"),
        settings(_lineage(about)),
        *_weights(run),
        heading("Parameters"),
        page.verbatim(parameters.read_text("utf-8")) if (parameters := run.path / "parameters.txt").exists() else "",
    ]
    return page.whole(f"{name} - tranh", [p for p in parts if p], None if run.finished else AGAIN)


def _of_a_recipe(run: RunDir) -> bool:
    file = run.path.parent / "recipe.json"
    return file.exists() and "stages" in read_json(file)


def told(stage: Stage) -> dict[str, Any]:
    """A stage's settings by the names that change them on the command line: ``model.depth``, ``data.count``, ``lr``."""
    out: dict[str, Any] = {}
    for key, value in asdict(stage).items():
        if key in ("model", "data"):
            out |= {f"{key}.{inner}": v for inner, v in value.items()}
        elif key != "parents" or value:
            out[key] = value
    return out


def _standing(run: RunDir, stage: Stage, log: Lines) -> list[str]:
    done, share = _done(run, stage, log)
    written = time.strftime("%Y-%m-%d %H:%M")
    if run.finished:
        spent = sum(float(line["seconds"]) for line in log if "seconds" in line)
        words = f"Finished after {done} steps of {stage.batch} pictures; they took {span(spent)}."
    else:
        left = seconds_left(log, stage.steps)
        words = f"Step {done} of {stage.steps} ({share:.0%})" + (f", about {span(left)} left" if left else "") + "."
    last = next((line for line in reversed(log) if not line.get("undone")), {})
    figures = [f"{k} {v:.4g}" for k, v in last.items() if k.split(".")[-1] == "loss" and isinstance(v, float)]
    figures += [f"{last['images_per_second']:.1f} pictures a second"] if "images_per_second" in last else []
    words += f" Last: {', '.join(figures)}." if figures else ""
    return [page.bar(share), f"<p>{text(words)} <small>As of {written}.</small></p>"]


def _done(run: RunDir, stage: Stage, log: Lines) -> tuple[int, float]:
    done = stage.steps if run.finished else log[-1]["step"] + 1 if log else 0
    return done, done / max(1, stage.steps)


def _warnings(log: Lines, measured: Lines) -> list[str]:
    undone = [line["step"] for line in log if line.get("undone")]
    out = []
    if undone:
        first = ", ".join(map(str, undone[:8])) + (", ..." if len(undone) > 8 else "")
        out.append(note(f"{len(undone)} steps were not finite and were undone: {first}.", "warning"))
    failed = [line for line in measured if FAILED in line]
    if failed:
        last = failed[-1]
        out.append(note(f"Nothing measured at {len(failed)} points; step {last['step']}: {last[FAILED]}", "warning"))
    return out


def _samples(files: Sequence[Path]) -> list[str]:
    if not files:
        return []
    shown = [files[0], files[-1]] if len(files) > 1 else [files[0]]
    pictures = [picture(file, f"step {_step(file)}: originals and samples in turn") for file in reversed(shown)]
    return [heading("Samples, last and first"), page.beside(*pictures)]


def _step(file: Path) -> int:
    found = re.search(r"\d+", file.stem)
    return int(found[0]) if found else 0


def _measures(stage: Stage, measured: Lines) -> list[str]:
    found = curves(measured)
    if not found:
        return []
    rows = []
    for name, points in found.items():
        (begun, first, *_), (step, value, low, high) = points[0], points[-1]
        known = f" [{low:.4g}, {high:.4g}]" if low < high else ""
        rows.append((text(name), f"{first:.4g} <small>step {begun:.0f}</small>", f"{value:.4g}{known} "
                     f"<small>step {step:.0f}</small>"))  # fmt: skip
    held_out = f"Measured on {stage.metrics_count} held-out examples; intervals are 95 %."
    return [f"<p class=quiet>{held_out}</p>", table(rows, ("measure", "first", "last"))]


def _findings(run: RunDir) -> list[str]:
    file = run.path / FINDINGS
    if not file.exists():
        return []
    kept = read_json(file)
    out = [heading("The doctor"), f"<p class=quiet>as of step {kept['step']}</p>"]
    for f in kept["findings"]:
        kind = "" if f["ok"] else "fault" if f["sure"] else "warning"
        out.append(note(f"{f['name']}: {f['seen']}. {f['remedy']}".strip(), kind))
    return out


def _lineage(about: Mapping[str, Any]) -> dict[str, Any]:
    out = {f"parent {name}": hash for name, hash in (about.get("parents") or {}).items()}
    out |= {"begun from": about["init"]} if about.get("init") else {}
    return out | {f"version of {name}": version for name, version in (about.get("versions") or {}).items()}


def _weights(run: RunDir) -> list[str]:
    if not run.finished:
        return []
    done, chosen = read_json(run.done_file), run.metrics().get("weights", {})
    rows = {"hash": done["hash"], "weights chosen": chosen.get("chosen", "raw")}
    scores = {f"held-out figure, {name}": f"{float(s):.5g}" for name, s in (chosen.get("scores") or {}).items()}
    return [settings(rows | scores)]


def overview(root: Path, recipe: Recipe) -> str:
    """The page of a recipe: every stage with where it stands, and the newest samples."""
    rows, newest, left, done = [], [], 0.0, 0
    for name, stage in recipe.stages.items():
        run = RunDir(root / name)
        begun = run.recipe_file.exists()
        stage, log = (run.stage(), read_log(run.log)) if begun else (stage, [])
        steps, share = _done(run, stage, log)
        done += run.finished
        rest = seconds_left(log, stage.steps)
        left += rest or 0.0
        state = (
            "finished" if run.finished else f"about {span(rest)} left" if rest else "begun" if begun else "not begun"
        )
        spent = sum(float(line.get("seconds", 0)) for line in log)
        last = next((v for line in reversed(log) for k, v in line.items() if k.split(".")[-1] == "loss"), None)
        title = page.link(f"{name}/report.html", name) if run.report.exists() else text(name)
        rows.append((title, text(stage.family), f"{steps} / {stage.steps}{page.bar(share)}", text(state),
                     span(spent) if spent else "-", f"{last:.4g}" if isinstance(last, float) else "-"))  # fmt: skip
        newest += sorted(run.samples.glob("step_*.png"))[-1:]
    total = len(recipe.stages)
    words = f"{done} of {total} stages are finished." + (f" The stage under way needs {span(left)}." if left else "")
    parts = [
        heading(recipe.name, 1),
        page.bar(done / max(1, total)),
        f"<p>{text(words)} <small>As of {time.strftime('%Y-%m-%d %H:%M')}.</small></p>",
        table(rows, ("stage", "family", "steps", "", "took", "last loss")),
        f"<p>cost: {text(recipe.cost)}</p><p>expected: {text(recipe.expected)}</p>",
        *([heading("Newest samples"), picture(newest[-1], newest[-1].parent.parent.name)] if newest else []),
    ]
    return page.whole(f"{recipe.name} - tranh", parts, None if done == total else AGAIN)
