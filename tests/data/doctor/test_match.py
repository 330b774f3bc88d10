"""Captions that belong to other pictures are found by a CLIP, those that belong are not, and a CLIP that knows nothing
is not believed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_planted import READING, alarms, build

from tranh.data.doctor import Diagnosis, scan
from tranh.data.doctor.match import against, matcher
from tranh.recipes.data_doctor import matcher_of


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("match") / "pictures"
    build(path)
    return path


def matched(root: Path) -> Diagnosis:
    *_, last = scan(root, READING, matcher=matcher_of("tranh-1"))
    diagnosis: Diagnosis = last.result
    return diagnosis


def test_a_clean_folder_gives_no_alarm(root: Path) -> None:
    assert alarms(matched(root)) == set()


@pytest.mark.parametrize("pairs", [[(5, 17)], [(1, 2), (10, 11), (30, 41)]])
def test_captions_that_changed_places_are_found(root: Path, pairs: list[tuple[int, int]]) -> None:
    file = root / "metadata.jsonl"
    before = file.read_text("utf-8")
    rows = [json.loads(line) for line in before.splitlines()]
    for a, b in pairs:
        for name in ("text_en", "text_vi"):
            rows[a][name], rows[b][name] = rows[b][name], rows[a][name]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    try:
        diagnosis = matched(root)
    finally:
        file.write_text(before, "utf-8")
    assert alarms(diagnosis) == {"caption mismatch"}
    wanted = {rows[i]["file_name"] for pair in pairs for i in pair}
    assert {example.key for example in diagnosis.all_examples("caption mismatch")} == wanted


def test_a_clip_that_knows_nothing_is_not_believed(root: Path) -> None:
    rng = np.random.default_rng(0)

    def anything(given: object) -> np.ndarray:
        rows = rng.normal(size=(len(given), 16))  # type: ignore[arg-type]
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    *_, last = scan(root, READING, matcher=matcher(anything, anything, "noise"))
    names = {finding.name for finding in last.result.findings}
    assert "mismatch not judged" in names and "caption mismatch" not in names


@given(st.integers(3, 12), st.integers(0, 2**32 - 1))
def test_scores_are_standard_scores(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pictures, texts = rng.normal(size=(count, 8)), rng.normal(size=(count, 8))
    score, better = against(pictures, texts, np.arange(count), [str(i) for i in range(count)])
    all_ = texts @ pictures.T
    for i in range(count):
        others = [np.delete(all_[:, i], i), np.delete(all_[i], i)]
        assert score[i] == pytest.approx(min((all_[i, i] - o.mean()) / max(o.std(), 1e-6) for o in others))
        assert better[i] == pytest.approx((others[0] > all_[i, i]).mean())
