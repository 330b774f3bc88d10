"""The pages for students: their code runs from top to bottom, and both languages show the same code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
PAGES = ("students.md", "students.vi.md")


def blocks(name: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (DOCS / name).read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", PAGES)
def test_the_code_runs(name: str) -> None:
    found, names = blocks(name), {"__name__": name}
    assert len(found) >= 15
    for k, code in enumerate(found):
        exec(compile(code, f"{name}, block {k + 1}", "exec"), names)


def test_both_languages_show_the_same_code() -> None:
    assert blocks("students.md") == blocks("students.vi.md")


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)", (DOCS / name).read_text("utf-8")):
        assert (DOCS / target).exists(), f"{name} points to {target}, which is not there"
