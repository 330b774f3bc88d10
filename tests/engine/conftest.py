"""Lets the tests of this folder import its toy families, whatever import mode pytest runs in."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

CURVED = ("test_curves.py", "test_run_report.py")


@pytest.fixture(scope="module", autouse=True)
def without_curves(request):
    """Reports have no curves but where they are tested: they would take half of a short training's time."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.name not in CURVED:
            patch.setattr("tranh.engine.run_report.panels", lambda log, measured: {})
        yield
