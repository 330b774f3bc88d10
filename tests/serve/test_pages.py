"""What the pages about the server say: the same commands in both languages, and they work."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from painter import Painter, png
from running import Running, running

PAGES = Path(__file__).parent.parent.parent / "docs" / "serve"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running([Painter()]) as found:
        yield found


def curls(page: str) -> list[str]:
    return re.findall(r"^\$ (curl .*)$", (PAGES / page).read_text("utf-8"), re.MULTILINE)


CURL = argparse.ArgumentParser()
for flag in ("-s", "-N"):
    CURL.add_argument(flag, action="store_true")
for option in ("-X", "-H", "-d", "-F", "-o"):
    CURL.add_argument(option)
CURL.add_argument("url")


def sent(line: str, folder: Path) -> bytes:
    """What ``curl`` would print."""
    given = CURL.parse_args(shlex.split(line.replace("-sN", "-s -N"))[1:])
    name, _, value = (given.F or "").partition("=")
    reply = httpx2.request(
        given.X or ("POST" if given.d or given.F else "GET"),
        given.url,
        headers=dict([given.H.split(": ", 1)]) if given.H else None,
        content=given.d,
        files={name: (folder / value.removeprefix("@")).read_bytes()} if given.F else None,
        timeout=20,
    )
    assert reply.is_success, (line, reply.text)
    if given.o:
        (folder / given.o).write_bytes(reply.content)
        return b""
    return reply.content


@pytest.mark.parametrize("name", ["jobs", "sdapi"])
def test_a_page_says_the_same_in_both_languages(name: str) -> None:
    english, vietnamese = ((PAGES / f"{name}{end}").read_text("utf-8") for end in (".md", ".vi.md"))
    for part in (r"^```.*?^```", r"^#", r"^\| `[a-z]"):  # fences; headings; rows that name a field
        said = [re.findall(part, page, re.DOTALL | re.MULTILINE) for page in (english, vietnamese)]
        assert said[0] == said[1]
    assert curls(f"{name}.md")


@pytest.mark.parametrize("name", ["jobs", "sdapi"])
def test_what_a_page_says_to_send_is_answered(server: Running, tmp_path: Path, name: str) -> None:
    (tmp_path / "picture.png").write_bytes(png())
    ids: dict[str, str] = {}
    for line in curls(f"{name}.md"):
        for word, id in ids.items():
            line = re.sub(rf"\b{word}\b", id, line)
        said = sent(line.replace("http://localhost:8000", server.url), tmp_path)
        if not said.startswith(b"{"):
            continue
        told = json.loads(said)
        if told.get("object") in ("job", "upload"):
            ids[str(told["object"]).upper()] = told["id"]
        for each in told.get("data", ()):
            ids[str(each["object"]).upper()] = each["id"]
    if name == "jobs":
        assert {path.name for path in tmp_path.iterdir()} >= {"drawn.png", "small.webp", "pictures.zip"}
