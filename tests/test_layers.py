"""The rules of the house that no type checker sees."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src" / "tranh").rglob("*.py"))

DOUBTFUL = """
import pytest

def test_passes():
    pass

@pytest.mark.skip(reason="not today")
def test_marked():
    pass

def test_calls():
    pytest.skip("no such machine")

@pytest.mark.xfail(reason="known fault")
def test_expected():
    assert False

@pytest.mark.xfail(reason="mended long ago")
def test_unexpected():
    pass
"""


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, env={"PYTHONPATH": str(root / "src")})


def test_imports_go_one_way() -> None:
    checked = lint(ROOT)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("nn/transformer.py", "from tranh.engine import log"),
        ("engine/log.py", "from tranh.families import decoder"),
        ("data/scenes/world.py", "import tranh.recipes.run"),
        ("families/decoder.py", "from tranh.families import clip"),
        ("types.py", "from tranh.text import normalise"),
        ("recipes/run.py", "import tranh.cli"),
    ],
)
def test_an_import_that_goes_the_other_way_is_seen(tmp_path: Path, where: str, what: str) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("models", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    file = tmp_path / "src" / "tranh" / where
    file.write_text(f"{file.read_text('utf-8')}\n{what}\n", "utf-8")
    checked = lint(tmp_path)
    assert checked.returncode == 1 and "BROKEN" in checked.stdout, checked.stdout + checked.stderr


@pytest.mark.parametrize("options", [[], ["-p", "xdist", "-n", "1"]], ids=["alone", "xdist"])
def test_a_skipped_test_is_a_failed_test(tmp_path: Path, options: list[str]) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_doubtful.py").write_text(DOUBTFUL)
    (tmp_path / "test_module.py").write_text('import pytest\npytest.skip("whole", allow_module_level=True)\n')
    run = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(tmp_path)]
    bare = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # plugins of no use here take seconds to import
    tried, whole = (
        subprocess.run([*run, *options, file], cwd=tmp_path, capture_output=True, text=True, env=bare)
        for file in ("test_doubtful.py", "test_module.py")
    )
    assert tried.returncode == 1 and "3 failed, 1 passed, 1 error" in tried.stdout, tried.stdout
    assert "not today (a skipped test counts as a failure" in tried.stdout
    assert whole.returncode != 0 and "whole" in whole.stdout and "1 error" in whole.stdout, whole.stdout


def test_no_drawer_for_everything() -> None:
    assert not [path for path in SOURCES if path.stem in ("utils", "util", "helpers", "common", "misc", "manager")]


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if (text := path.read_text("utf-8").strip()) and not text.startswith(('"""', 'r"""'))
    ]
    assert not silent, f"modules without a first sentence: {silent}"


def test_one_loop() -> None:
    """Only the engine takes optimiser steps."""
    loops = {p.relative_to(ROOT / "src/tranh").parts[0] for p in SOURCES if ".backward(" in p.read_text("utf-8")}
    assert loops <= {"engine"}


def test_torchs_own_files_are_opened_in_one_place_as_tensors_only() -> None:
    """Weights others publish are converted once; everything else is safetensors."""
    opened = re.compile(r"(?<!safetensors\.)torch\.load\(")
    found = {str(p.relative_to(ROOT / "src/tranh")): len(opened.findall(p.read_text("utf-8"))) for p in SOURCES}
    assert {name: n for name, n in found.items() if n} == {"recipes/inception.py": 1}
    assert 'map_location="cpu", weights_only=True)' in (ROOT / "src/tranh/recipes/inception.py").read_text("utf-8")


def test_constraints_pin_everything_exactly() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert "torch==2.13.0" in lines
    for line in lines:
        name, pinned, version = line.partition("==")
        assert pinned and name and version and "+" not in version, f"{line!r} pins no plain version"
