"""Helpers of these tests, importable by name."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import rating_toys as toys


@pytest.fixture
def folders(tmp_path):
    """Three systems: eight captions in both languages, two pictures of each caption."""
    return [toys.folder(tmp_path / name, red) for name, red in toys.RED.items()]


@pytest.fixture
def of_three(folders):
    return toys.study_of(folders)


@pytest.fixture
def votes(tmp_path, of_three):
    from tranh.serve.rating.votes import Votes

    found = Votes(tmp_path / "votes.sqlite")
    found.begin(of_three.protocol)
    yield found
    found.close()
