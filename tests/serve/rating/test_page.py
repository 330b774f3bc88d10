"""The page in a real Chromium, served by the real command; raters see nothing but the page."""

import itertools
import re
import shutil
import signal
import sqlite3
from contextlib import closing

import numpy as np
import pytest
import rating_toys as toys
from playwright.sync_api import expect, sync_playwright

pytestmark = pytest.mark.browser

VOTES, CHECKS = 12, 2
HOSTILE = '<img src=x onerror="document.title=1234"><script>document.title=1234</script> {done} &amp;'


def chromium():
    found = shutil.which("chromium-headless-shell") or shutil.which("chromium-headless-shell", path="/usr/lib/chromium")
    assert found, "these tests need Chromium: apt install chromium-headless-shell"
    return found


@pytest.fixture(scope="module")
def browser():
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"]) as started,
    ):
        yield started


class Rater:
    """A person at the page: looks at the pictures on the screen, then clicks or presses a key."""

    def __init__(self, browser, address, language, seed=0, **context):
        self.context = browser.new_context(locale={"en": "en-GB", "vi": "vi-VN"}[language], **context)
        self.page = self.context.new_page()
        self.rng = np.random.default_rng(seed)
        self.faults, self.received, self.asked, self.texts = [], [], [], []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda said: self.faults.append(said.text) if said.type == "error" else None)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("response", lambda response: self.received.append(response))
        self.page.goto(address)

    def begin(self):
        self.page.get_by_role("button", name=re.compile("Begin|Bắt đầu")).click()
        self.wait()

    def wait(self):
        """Until the pictures of a task are there, or the end is reached."""
        self.page.locator("#same:enabled:visible, #end:visible").first.wait_for()

    def read(self):
        """Everything that was received and is no picture."""
        while self.received:
            response = self.received.pop()
            if "image" not in response.headers.get("content-type", ""):
                self.texts.append(response.text())
        return self.texts

    @property
    def done(self):
        return self.page.locator("#end").is_visible()

    def looked(self):
        sides = []
        for side in ("left", "right"):
            images = self.page.locator(f"[data-answer={side}] img")
            addresses = images.evaluate_all("images => images.map(image => image.src)")
            sides.append([toys.pixels_of(self.page.request.get(a).body()) for a in addresses])
        return sides

    def vote(self, answer, by_key):
        before = self.page.locator("#count").inner_text()
        if by_key:
            self.page.keyboard.press({"left": "ArrowLeft", "right": "ArrowRight", "same": "ArrowDown"}[answer])
        else:
            self.page.locator(f"[data-answer={answer}]").click()
        self.page.locator(f'#count:visible:not(:text-is("{before}")), #end:visible').first.wait_for()
        self.wait()

    def rate(self, most=1000):
        for k in range(most):
            if self.done:
                return
            self.vote(toys.answer(*self.looked(), self.rng), by_key=k % 2)


def records(path):
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute("SELECT * FROM votes ORDER BY at, rowid")]


def test_a_study_from_the_command_to_its_results(browser, folders, tmp_path):
    """Raters in both languages, by mouse and by keyboard; one reloads in the middle; the server is killed once."""
    votes = tmp_path / "v.sqlite"
    args = (*folders, "--votes", votes, "--per-rater", VOTES)
    with toys.command(*args) as (process, address, _):
        raters = [Rater(browser, address, language, seed) for seed, language in enumerate(("en", "vi"))]
        for rater in raters:
            rater.begin()
            rater.rate(7)
        english, vietnamese = raters

        shown = [english.page.locator(".frame img").nth(k).get_attribute("src") for k in range(2)]
        english.read()
        english.page.reload()  # the same task, and no vote is lost
        english.wait()
        assert [english.page.locator(".frame img").nth(k).get_attribute("src") for k in range(2)] == shown
        expect(english.page.locator("#count")).to_have_text(re.compile(r"^8 of \d+$"))
        assert len(records(votes)) == 14

        expect(vietnamese.page.locator("html")).to_have_attribute("lang", "vi")
        question = vietnamese.page.locator("#question")
        expect(question).to_have_text(re.compile("^(Bức nào|Nhóm tranh nào)"))
        vietnamese.page.get_by_role("button", name="English").click()
        expect(question).to_have_text(re.compile("^Which"))
        vietnamese.page.get_by_role("button", name="Tiếng Việt").click()
        expect(question).to_have_text(re.compile("^(Bức nào|Nhóm tranh nào)"))

        for rater in raters:
            rater.rate()
            expect(rater.page.locator("#code")).to_have_text(re.compile("^[0-9a-f]{8}$"))
            assert not rater.faults
            seen = [rater.page.content(), *rater.asked, *rater.read()]
            assert len(seen) > 40 and not [name for name in toys.RED if any(name in one for one in seen)]
        process.send_signal(signal.SIGKILL)
        process.wait()

    kept = records(votes)
    assert (
        len(kept) == 2 * (VOTES + CHECKS)
        and all(r["passed"] != 0 for r in kept)
        and {r["page"] for r in kept} == {"en", "vi"}
    )
    assert sum(r["check"] != "" for r in kept) == 2 * CHECKS
    assert {r["left"] for r in kept if not r["check"]} == {r["right"] for r in kept if not r["check"]} == set(toys.RED)
    assert all(0 < r["seconds"] < 60 for r in kept)

    with toys.command(*args) as (_, address, owner):  # the same command goes on
        third = Rater(browser, address, "vi", 2)
        third.begin()
        third.rate()
        page = third.context.new_page()
        page.goto(owner)
        expect(page.locator("h2").first).to_be_visible()
        for name in toys.RED:
            expect(page.locator("table").first).to_contain_text(name)
        assert page.locator("svg circle").count() >= 3
        with page.expect_download() as saved:
            page.get_by_role("button", name="CSV").click()
        lines = saved.value.path().read_text("utf-8").splitlines()
        assert len(lines) == 1 + 3 * (VOTES + CHECKS) and lines[0].startswith("rater,excluded,position")
        page.goto(owner.partition("#")[0] + "#wrong")
        page.reload()
        expect(page.locator(".note")).to_be_visible()
        assert page.locator("table").count() == 0


def test_captions_are_text_whatever_they_hold(browser, tmp_path):
    folders = [toys.folder(tmp_path / n, red, said=lambda i: f"{i} {HOSTILE}") for n, red in list(toys.RED.items())[:2]]
    with toys.command(*folders, "--votes", tmp_path / "v", "--questions", "caption") as (_, address, _):
        rater = Rater(browser, address, "en")
        rater.begin()
        for _ in range(3):
            assert rater.page.locator("#caption").text_content().endswith(HOSTILE)
            assert rater.page.locator("#caption *").count() == 0 and rater.page.title() == "Which picture?"
            rater.vote("left", by_key=True)
        assert not rater.faults


def test_it_fits_every_screen_and_can_be_read(browser, folders, tmp_path):
    with toys.command(*folders, "--votes", tmp_path / "v") as (_, address, _):
        for width, scheme in itertools.product((320, 390, 1280), ("light", "dark")):
            rater = Rater(browser, address, "vi", viewport={"width": width, "height": 800}, color_scheme=scheme)
            rater.begin()
            page = rater.page
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            boxes = [page.locator(f"[data-answer={side}]").bounding_box() for side in ("left", "right")]
            assert boxes[0]["width"] == boxes[1]["width"] and boxes[0]["y"] == boxes[1]["y"]
            assert boxes[0]["x"] + boxes[0]["width"] < boxes[1]["x"]
            same = page.locator("#same").bounding_box()
            assert same["y"] + same["height"] <= 800  # nothing has to be scrolled to
            for selector in ("#question", "#hint", "#same", ".side .name >> nth=0", "#count"):
                assert contrast(page.locator(selector)) >= 4.5, selector
            names = [
                page.locator(s).aria_snapshot() for s in ("[data-answer=left]", "[data-answer=right]", "#progress")
            ]
            assert all(re.search(word, name) for word, name in zip(("trái", "phải", "Tiến độ"), names)), names
            rater.context.close()


def contrast(locator):
    """WCAG's ratio of text and the ground behind it."""
    colours = locator.evaluate(
        """node => {
            let ground = node;
            while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
            return [getComputedStyle(node).color, getComputedStyle(ground).backgroundColor];
        }"""
    )
    light = []
    for colour in colours:
        parts = np.array([float(x) for x in re.findall(r"[\d.]+", colour)[:3]]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        light.append(linear @ [0.2126, 0.7152, 0.0722] + 0.05)
    return max(light) / min(light)


def test_a_picture_that_is_missing_can_be_skipped(browser, folders, tmp_path):
    with toys.command(*folders, "--votes", tmp_path / "v") as (_, address, _):
        rater = Rater(browser, address, "en")
        for path in folders:
            for file in path.glob("*.png"):
                file.unlink()
        rater.page.locator("#start").click()
        rater.page.locator("#broken").click()
        expect(rater.page.locator("#count")).to_have_text(re.compile("^2 of"))
        rater.page.keyboard.press("ArrowLeft")  # nothing can be chosen where nothing is seen
        rater.page.locator("#broken:enabled").wait_for()
    assert [r["answer"] for r in records(tmp_path / "v")] == ["broken"]
