"""Rules for every test: a skipped one is a failed one, threads do not multiply, children find the package."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).parent.parent

# Before anything imports torch: as many threads as processes would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
if "TRANH_KEYS" not in os.environ:  # tests sign with keys of their own, never with the user's
    place = tempfile.mkdtemp(prefix="tranh-keys-")
    os.environ["TRANH_KEYS"] = f"{place}/keys"
    atexit.register(shutil.rmtree, place, ignore_errors=True)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))

settings.register_profile("default", deadline=None)
settings.register_profile("soak", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

REMEDY = "a skipped test counts as a failure: install what it needs, or delete it"


def _unskip(report: Any) -> None:
    """Turn a report of a skip, or of an expected failure, into one of a failure."""
    if not (report.skipped or hasattr(report, "wasxfail")):
        return
    reason = getattr(report, "wasxfail", None)
    if reason is None:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    else:
        del report.wasxfail
    report.outcome, report.longrepr = "failed", f"{reason or 'no reason given'} ({REMEDY})"


def pytest_collection_finish() -> None:
    """What was imported stays: a collection of garbage, of which there are many, need not look at it again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    report = yield
    _unskip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    report = yield
    _unskip(report)
    return report
