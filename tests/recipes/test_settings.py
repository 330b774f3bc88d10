"""What is typed after ``tranh train RECIPE``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tranh.recipes.settings import configured


def test_a_folder_called_scenes_is_not_taken_for_scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scenes").mkdir()
    monkeypatch.chdir(tmp_path)
    assert all(stage.data.get("source", "scenes") == "scenes" for stage in configured("vae", []).stages.values())
