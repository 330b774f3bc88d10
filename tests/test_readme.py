"""What the READMEs say can be done: their commands work, their file trees exist, both languages say the same.

Conventions of the READMEs (and of all pages in docs, which are only parsed):

- A command stands in a fence ``console`` (lines that begin with ``$ ``; the others are output) or ``bash`` (each line).
- ``tranh`` commands are run, from top to bottom, in one empty folder; ``make`` targets are looked up (``make -n``).
- A fence ``console slow`` is for what takes long: its commands are only parsed, and ``tranh train`` is planned
  (``--dry-run``).
- A file tree stands in a fence ``text tree``: one name per line, folders indented by two spaces, then two spaces or
  more and what it is.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

from tranh.cli import app
from tranh.data.scenes.draw import render
from tranh.data.scenes.layout import scene
from tranh.data.scenes.source import say

ROOT = Path(__file__).parent.parent
READMES = ("README.md", "README.vi.md")
PAGES = sorted(
    str(path.relative_to(ROOT)) for folder in ("edits", "serve") for path in (ROOT / "docs" / folder).glob("*.md")
)
DOCS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
ENGLISH = [name for name in PAGES if not name.endswith((".vi.md", "rating.md"))]  # that one is in English alone
SHELL = re.compile(r"[|;&<>`]|\$\(")


@dataclass(frozen=True)
class Fence:
    words: tuple[str, ...]  # of the info string
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Command:
    line: str
    slow: bool

    @property
    def args(self) -> list[str]:
        return shlex.split(self.line, comments=True)


def fences(text: str) -> list[Fence]:
    found = re.findall(r"^```([^\n`]*)\n(.*?)^```\s*$", text, re.MULTILINE | re.DOTALL)
    return [Fence(tuple(info.split()), tuple(body.splitlines())) for info, body in found]


def commands(text: str) -> list[Command]:
    """The ``tranh`` and ``make`` commands of a page, in order."""
    found = []
    for fence in fences(text):
        if not fence.words or fence.words[0] not in ("console", "bash"):
            continue
        for line in fence.lines:
            if fence.words[0] == "console" and not line.startswith("$ "):
                continue
            line = line.removeprefix("$ ").strip()
            if line.split(" ")[0] in ("tranh", "make"):
                found.append(Command(line, "slow" in fence.words))
    return found


def tree(text: str) -> list[tuple[str, str]]:
    """(path, what it is) for each line of the file tree."""
    found: list[tuple[str, str]] = []
    above: list[str] = []
    for fence in fences(text):
        if fence.words[1:] != ("tree",):
            continue
        for line in filter(str.strip, fence.lines):
            indent, name, said = re.fullmatch(r"( *)(\S+)(?: {2,}(.*))?", line).groups()  # type: ignore[union-attr]
            above = [*above[: len(indent) // 2], name]
            found.append(("/".join(part.strip("/") for part in above), said or ""))
    return found


@cache
def page(name: str) -> str:
    path = ROOT / name
    return path.read_text("utf-8") if path.exists() else ""


def parse(args: list[str]) -> Any:
    """Parse a command line as the command would, down to its verb, which is not called; returns the verb's context."""
    context: Any = typer.main.get_command(app).make_context("tranh", list(args))
    while hasattr(context.command, "commands"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = context.command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
    return context


FRESH = """
import json, os, runpy, sys
import accelerate, diffusers, torch, transformers, typer  # no part of the package, and long to import

codes = []
for said, args in json.load(sys.stdin):
    if not (child := os.fork()):
        out = os.open(said, os.O_CREAT | os.O_WRONLY)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.argv = ["tranh", *args]
        runpy.run_module("tranh", run_name="__main__", alter_sys=True)
        sys.exit()
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    if codes[-1]:
        break
print(json.dumps(codes))
"""


def tranh(lines: list[list[str]], folder: Path, said: Path) -> list[tuple[int, str]]:
    """Run command lines in order up to the first that fails, each in a process that imports the package anew.

    Returns:
        Exit status and output of each.
    """
    files = [said / f"{k}.txt" for k in range(len(lines))]
    asked = json.dumps([(str(file), args) for file, args in zip(files, lines, strict=True)])
    done = subprocess.run(
        [sys.executable, "-c", FRESH], cwd=folder, input=asked, capture_output=True, text=True, timeout=550
    )
    assert done.returncode == 0, done.stderr
    return [(code, file.read_text("utf-8")) for code, file in zip(json.loads(done.stdout), files, strict=False)]


@pytest.mark.parametrize("name", READMES)
def test_the_two_commands_are_there(name: str) -> None:
    lines = {command.line for command in commands(page(name))}
    assert {"make demo", "make test"} <= lines, f"{name} must name `make demo` and `make test` in a console fence"


@pytest.mark.parametrize("name", READMES)
def test_the_command_is_shown_in_both_languages(name: str) -> None:
    prompts = " ".join(command.line for command in commands(page(name)) if command.args[0] == "tranh")
    assert re.search("[ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]", prompts), "no Vietnamese prompt is shown"
    assert re.search(r"\b(a|an|the)\b", prompts), "no English prompt is shown"


def test_both_readmes_have_the_same_commands() -> None:
    english, vietnamese = ([(c.args, c.slow) for c in commands(page(name))] for name in READMES)
    assert english == vietnamese


@pytest.mark.parametrize("name", ENGLISH)
def test_a_page_is_there_in_both_languages_with_the_same_commands(name: str) -> None:
    other = name.removesuffix(".md") + ".vi.md"
    english, vietnamese = ([(c.args, c.slow) for c in commands(page(one))] for one in (name, other))
    assert english == vietnamese and english


@pytest.mark.parametrize("name", (*READMES, *DOCS))
def test_every_command_can_be_parsed(name: str) -> None:
    found = [command for command in commands(page(name)) if command.args[0] == "tranh"]
    assert found or name not in (*READMES, "docs/cli.md", *PAGES), f"{name} shows no command"
    for command in found:
        assert not SHELL.search(re.sub(r"\"[^\"]*\"|'[^']*'", "", command.line)), f"{command.line}: one command a line"
        if {"--help", "-h", "--version"} & set(command.args):
            continue  # they print and leave
        try:
            parse(command.args[1:])
        except Exception as error:
            if "does not exist" in str(error) and name in DOCS:
                continue  # the reader's own files
            pytest.fail(f"{name}: {command.line}: {error}")


@pytest.mark.parametrize("name", READMES)
def test_every_make_target_exists(name: str) -> None:
    for command in commands(page(name)):
        if command.args[0] == "make":
            run = subprocess.run(["make", "-n", *command.args[1:]], cwd=ROOT, capture_output=True, text=True)
            assert run.returncode == 0, f"{command.line}: {run.stderr}"


def own_pictures(folder: Path) -> None:
    """The folder that the READMEs call my-pictures: sound pictures with captions in both languages."""
    folder.mkdir()
    lines = []
    for i in range(60):
        example = scene("two", "train", i)
        Image.fromarray(render(example, 80)).save(folder / f"{i}.png")
        said = {f"text_{language}": say(example, language, "dense", i)[0] for language in ("en", "vi")}
        lines.append(json.dumps({"file_name": f"{i}.png", **said}, ensure_ascii=False))
    (folder / "metadata.jsonl").write_text("\n".join(lines), "utf-8")


@pytest.mark.timeout(600)
def test_commands_work(tmp_path: Path) -> None:
    """Those of the English README, which are also those of the Vietnamese one."""
    here, said = tmp_path / "here", tmp_path / "said"
    here.mkdir()
    said.mkdir()
    own_pictures(here / "my-pictures")
    lines = []
    for command in commands(page("README.md")):
        if command.args[0] == "tranh" and (not command.slow or command.args[1] == "train"):
            dry = ["--dry-run"] if command.slow and "--dry-run" not in command.args else []
            lines.append([*command.args[1:], *dry])
    done = tranh(lines, here, said)
    for args, (code, output) in zip(lines, done, strict=False):
        assert code == 0, f"tranh {shlex.join(args)}\n{output}"
        for line in output.splitlines():  # the paths that generate prints
            assert " " in line or not line.endswith(".png") or (here / line).is_file()
    assert len(done) == len(lines) > 8


@pytest.mark.parametrize("name", READMES)
def test_the_file_tree_is_true(name: str) -> None:
    lines = tree(page(name))
    assert len(lines) >= 8, f"{name} needs a file tree in a fence `text tree`"
    for path, said in lines:
        assert list(ROOT.glob(path)), f"{name}: {path} is not there"
        assert said or path.endswith("tranh"), f"{name}: {path} needs a line that says what it is"


def test_both_file_trees_name_the_same() -> None:
    english, vietnamese = ([path for path, _ in tree(page(name))] for name in READMES)
    assert english == vietnamese


def test_the_tree_names_every_part_of_the_package() -> None:
    named = {path for path, _ in tree(page("README.md"))}
    parts = {f"src/tranh/{p.name}" for p in (ROOT / "src" / "tranh").iterdir() if not p.name.startswith(("_", "."))}
    assert parts - {"src/tranh/py.typed"} <= named


@pytest.mark.parametrize("name", READMES)
def test_links_and_pictures_are_there(name: str) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)|(?:src|href)=\"([^\"#]+)\"", page(name))
    local = [a or b for a, b in targets if not re.match(r"[a-z]+:", a or b)]
    assert any(target.endswith((".png", ".webp", ".jpg")) for target in local), f"{name} shows no picture"
    for target in local:
        assert (ROOT / target).exists(), f"{name} points to {target}, which is not there"


# The readers above, on a page of our own

SAMPLE = """
```console
$ make demo
two pictures: out/...
$ tranh "a red circle" -o x.png  # comment
tranh is output here
```
```bash
tranh models
git clone somewhere
```
```console slow
$ tranh train quick
```
```python
tranh.load("tranh-1")
```
```text tree
src/
  tranh/     the package
    cli.py   verbs
tests/       tests
```
"""


def test_reading_a_page() -> None:
    assert [(c.args, c.slow) for c in commands(SAMPLE)] == [
        (["make", "demo"], False),
        (["tranh", "a red circle", "-o", "x.png"], False),
        (["tranh", "models"], False),
        (["tranh", "train", "quick"], True),
    ]
    assert [path for path, _ in tree(SAMPLE)] == ["src", "src/tranh", "src/tranh/cli.py", "tests"]
    assert parse(["train", "quick", "a=1"]).params["settings"] == ["a=1"]
    assert parse(["data", "preview", "scenes"]).params["count"] == 24
    with pytest.raises(Exception, match="--colour"):
        parse(["train", "quick", "--colour"])
    assert os.environ["PYTHONPATH"].startswith(str(ROOT / "src"))
