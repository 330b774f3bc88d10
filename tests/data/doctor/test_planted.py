"""Faults planted one by one, and all at once, into a clean folder: each is found and named, none is fatal, and nothing
else is said; of the clean folder nothing is said at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import planted_captions  # noqa: F401  # these fill PLANTS
import planted_folders  # noqa: F401
import pytest
from planted_pictures import interlaced
from planting import COUNT, PLANTS, READING, Lay, Plant, build, encoded, picture

from tranh.data.doctor import KINDS, Diagnosis, scan

# What is no fault at all


HARMLESS: list[Callable[[Lay], Any]] = [
    lambda lay: lay.put(1, lay.path(1).read_bytes() + b"trailing garbage" * 20),
    lambda lay: lay.put(1, encoded(picture(1), "JPEG", progressive=True)),
    lambda lay: lay.move(0, "train/000.avif", encoded(picture(0), "AVIF")),
    lambda lay: lay.put(4, interlaced(crc=0)),
    lambda lay: lay.say(0, vi="một ly cà phê sữa đá và một bát phở bò"),
    lambda lay: lay.say(0, en="a café in Đà Nẵng, with “quotes” – and a dash… 50 % off"),
    lambda lay: lay.say(0, en="a family 👨‍👩‍👧 in front of a house ❤️"),
    lambda lay: lay.say(0, vi="hinh tron do o tren hinh vuong xanh"),
]


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clean") / "pictures"
    build(root)
    return root


@pytest.fixture
def lay(clean: Path, tmp_path: Path) -> Lay:
    root = tmp_path / "pictures"
    shutil.copytree(clean, root, copy_function=os.link)
    return Lay(root)


def examined(root: Path) -> Diagnosis:
    *_, last = scan(root, READING)
    diagnosis: Diagnosis = last.result
    return diagnosis


def alarms(diagnosis: Diagnosis) -> set[str]:
    return {finding.name for finding in diagnosis.findings if finding.severity != "note"}


def test_nothing_is_said_of_a_clean_folder(clean: Path) -> None:
    diagnosis = examined(clean)
    assert diagnosis.total == diagnosis.looked == COUNT
    assert alarms(diagnosis) == set(), diagnosis.findings
    assert {finding.name for finding in diagnosis.findings} <= {"grey"}


@pytest.mark.parametrize("what", PLANTS, ids=lambda what: what.name)
def test_each_is_found_and_named_and_nothing_else(what: Plant, lay: Lay) -> None:
    key = what.put(lay)
    lay.save()
    diagnosis = examined(lay.root)
    assert what.finding in {finding.name for finding in diagnosis.findings}, diagnosis.findings
    keys = [example.key for example in diagnosis.all_examples(what.finding)]
    assert key in keys
    assert keys == [key] or what.finding == "grey"
    wanted = {name for name in (what.finding, *what.also) if KINDS[name].severity != "note"}
    assert alarms(diagnosis) == wanted, diagnosis.findings


@pytest.mark.parametrize("change", HARMLESS)
def test_what_is_no_fault_is_not_called_one(change: Callable[[Lay], Any], lay: Lay) -> None:
    change(lay)
    lay.save()
    assert alarms(examined(lay.root)) == set()


def test_there_are_thirty_kinds_at_least() -> None:
    assert len({what.finding for what in PLANTS if KINDS[what.finding].severity != "note"}) >= 30


def test_all_at_once(clean: Path, tmp_path: Path) -> None:
    """One fault of every kind in one folder, each at a picture of its own: all of them are named, none is fatal."""
    keys = {}
    for number, what in enumerate(PLANTS):
        root = tmp_path / str(number)
        shutil.copytree(clean, root / "pictures", copy_function=os.link)
        keys[what.name] = what.put(Lay(root / "pictures"))
    shutil.copytree(clean, tmp_path / "pictures")
    lay = Lay(tmp_path / "pictures")
    wanted: dict[str, str] = {}
    for what in PLANTS:
        key = keys[what.name]
        free = key not in wanted.values() and what.finding not in wanted
        if free and KINDS[what.finding].severity != "note" and what.name != "everything_is_said_alike":
            wanted[what.finding] = what.put(lay)
    lay.save()
    diagnosis = examined(lay.root)
    assert len(wanted) >= 40
    for finding, key in wanted.items():
        assert key in {example.key for example in diagnosis.all_examples(finding)}, finding
