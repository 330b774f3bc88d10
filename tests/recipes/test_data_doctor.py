"""`tranh data doctor`: the report is one page that needs nothing, holds what was found, and believes no caption."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import sync_playwright
from typer.testing import CliRunner

from tranh.cli import app
from tranh.data.doctor import KINDS
from tranh.recipes.data_doctor import examine
from tranh.types import TranhError

ROOT = Path(__file__).parents[2]
CHROMIUM = next(p for p in map(Path, ("/usr/bin/chromium-headless-shell", "/usr/lib/chromium/chromium-headless-shell",
                                      "/usr/bin/chromium")) if p.exists())  # fmt: skip
EVIL = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> & ' \" </style>"


def lay(root: Path, faulty: bool) -> Path:
    root.mkdir()
    rows = []
    for i in range(6):
        image = Image.effect_mandelbrot((64, 64), (-2 + i * 0.2, -1, 1, 1), 40 + i).convert("RGB")
        image.save(root / f"{i}.png")
        rows.append({"file_name": f"{i}.png", "text": f"a fractal, step {'abcdef'[i]} of the zoom", "label": "set"})
    if faulty:
        rows[0]["text"] = EVIL
        rows[1]["label"] = EVIL
        rows[2]["text"] = "half \ud83d"
        (root / "3.png").write_bytes(b"")
        (root / "<b>.png").write_bytes((root / "4.png").read_bytes())
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


class Outside(HTMLParser):
    """What a page would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action") and not (value or "").startswith(("data:image", "#")):
                self.found.append(f"{tag} {value}")
            if name.startswith("on"):
                self.found.append(f"{tag} {name}")
        if tag in ("script", "iframe", "object", "embed", "link", "base", "form"):
            self.found.append(tag)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    *_, last = examine(lay(folder / "pictures", faulty=True), folder / "report.html")
    assert last.result.report == folder / "report.html"
    return folder / "report.html"


def test_the_page_fetches_and_runs_nothing(report: Path) -> None:
    text = report.read_text("utf-8")
    parser = Outside()
    parser.feed(text)
    assert parser.found == [] and "default-src 'none'" in text
    assert "&lt;script&gt;" in text and "empty file" in text


def test_a_browser_shows_it_on_a_phone(report: Path) -> None:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 360, "height": 740})
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(report.as_uri())
        assert page.title().endswith("data doctor") and said == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.locator("details.fault").count() >= 2 and page.locator("details.fault[open]").count() >= 2
        shown = page.locator("img").evaluate_all("all => all.filter(i => i.complete && i.naturalWidth).length")
        assert shown == page.locator("img").count() > 6
        page.locator("details.warning summary").first.click()
        assert page.locator("details.warning[open]").count() == 1
        browser.close()


def test_every_key_is_in_the_list(report: Path) -> None:
    found = json.loads((report.parent / "findings.json").read_text("utf-8"))
    names = {finding["name"]: finding for finding in found["findings"]}
    assert found["format"] == 1 and found["pictures"] == 7 and found["tokenizer"] == "tranh-1"
    assert names["empty file"]["keys"] == [{"key": "3.png", "note": ""}]
    assert names["unlisted picture"]["keys"][0]["key"] == "<b>.png"
    assert all(len(f["keys"]) == f["count"] and f["severity"] == KINDS[f["name"]].severity for f in names.values())


def test_exit_codes(tmp_path: Path) -> None:
    sound, faulty = lay(tmp_path / "sound", faulty=False), lay(tmp_path / "faulty", faulty=True)
    run = CliRunner()
    done = run.invoke(app, ["data", "doctor", str(sound), "--out", str(tmp_path / "a.html")])
    assert done.exit_code == 0 and "no fault" in done.stdout and done.stdout.endswith("a.html\n")
    done = run.invoke(app, ["data", "doctor", str(faulty), "--out", str(tmp_path / "b.html"), "--limit", "6"])
    assert done.exit_code == 1 and re.search(r"^FAULT +empty file: 1 of 6 pictures", done.stdout, re.MULTILINE)
    assert "remedy: " in done.stdout and (tmp_path / "b.html").exists()


def test_what_is_refused(tmp_path: Path) -> None:
    sound = lay(tmp_path / "sound", faulty=False)
    for out, words in ((tmp_path / "x.pdf", "end its name in .html"), (tmp_path / "no" / "x.html", "no folder")):
        with pytest.raises(TranhError, match=words):
            next(examine(sound, out))
    with pytest.raises(TranhError, match="no model is called"):
        next(examine(sound, tmp_path / "x.html", clip="nothing"))
    with pytest.raises(TranhError, match="has no CLIP"):
        next(examine(sound, tmp_path / "x.html", clip="verifier-1"))
    with pytest.raises(TranhError, match="no tokenizer"):
        next(examine(sound, tmp_path / "x.html", model="verifier-1"))
    assert not (tmp_path / "x.html").exists()


def test_the_page_of_the_docs_names_every_kind() -> None:
    text = (ROOT / "docs" / "data_doctor.md").read_text("utf-8")
    assert [kind for kind in KINDS if f"| {kind} |" not in text] == []


def test_no_picture_from_outside_is_drawn(tmp_path: Path) -> None:
    """Nor one that would be waited for, for ever."""
    sound = lay(tmp_path / "sound", faulty=False)
    Image.new("RGB", (64, 64), (1, 254, 3)).save(tmp_path / "secret.png")
    os.mkfifo(sound / "pipe.png")
    with (sound / "metadata.jsonl").open("a") as file:
        for name in ("../secret.png", "pipe.png", "pipe.png"):
            file.write(json.dumps({"file_name": name, "text": "a secret of mine", "label": "set"}) + "\n")
    *_, last = examine(sound, tmp_path / "x.html")
    names = {finding.name: finding for finding in last.result.findings}
    assert {"outside the folder", "unreadable file"} <= set(names)
    assert "<img" not in (tmp_path / "x.html").read_text("utf-8").split("outside the folder")[1].split("</details>")[0]
