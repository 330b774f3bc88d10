"""The report of a run: true at every stage of its life, safe against what is in it, alone on its page."""

import re
from html.parser import HTMLParser

import engine_toys as toys
import pytest
from PIL import Image

from tranh.engine import find, run_report
from tranh.engine.rundir import RunDir
from tranh.engine.train import train
from tranh.files import write_json
from tranh.types import Recipe


class Page(HTMLParser):
    """Tags with attributes, and the words between them."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.words))


def page(run):
    return Page(run.report.read_text("utf-8"))


def start(run, bad=(), sample=True, **changes):
    stage = toys.stage(**{"sample_every": 8, "metrics_every": 8, **changes})
    return train(
        stage, find.build(stage, toys.Toy), toys.Source(bad=bad), run,
        sample=(lambda model, step: Image.new("RGB", (8, 8))) if sample else None,
        measure=lambda model, step: {"KID <i>": {"value": 3.0 / step, "low": 1.0 / step, "high": 5.0 / step}},
    )  # fmt: skip


def test_from_the_first_step_to_the_last(tmp_path):
    run = RunDir(tmp_path / "toy")
    events = start(run, bad=[17])
    next(events)
    assert "Step 0 of 24 (0%)." in page(run).text
    for event in events:
        if event.done == 19:
            break
    assert re.search(r"Step 16 of 24 \(67%\), about \d+ s left\. Last: loss", page(run).text)
    assert ("meta", {"http-equiv": "refresh", "content": "60"}) in page(run).tags
    list(events)
    done = page(run)
    assert "1 steps were not finite and were undone: 17." in done.text
    assert "Finished after 24 steps of 8 pictures" in done.text and run.hash() in done.text
    assert not any(attrs.get("http-equiv") for _, attrs in done.tags)
    pictures = [attrs for tag, attrs in done.tags if tag == "img"]
    assert [a["alt"] for a in pictures[:2]] == [f"step {k}: originals and samples in turn" for k in (24, 8)]
    assert {a["alt"] for a in pictures[2:]} == {"loss", "KID <i>", "learning rate", "gradient norm", "speed"}
    assert all(a["src"].startswith("data:image/png;base64,") for a in pictures)
    assert "0.125 [0.04167, 0.2083] step 24" in done.text and "middle" in done.text


def test_nothing_is_fetched_and_nothing_runs(tmp_path):
    run = RunDir(tmp_path / "toy")
    list(start(run))
    odd = {"name": "<script>alert(1)</script>", "ok": False, "sure": True, "seen": "<b>", "remedy": "mend"}
    write_json(run.path / "doctor.json", {"step": 3, "findings": [odd]})
    run_report.write(run)
    found = page(run)
    assert "<script>alert(1)</script>: <b>. mend" in found.text
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in found.tags}
    where = [v or "" for _, attrs in found.tags for k, v in attrs.items() if k in ("src", "href")]
    assert all(v.startswith("data:image/png;base64,") or ":" not in v for v in where)
    assert not any(k.startswith("on") for _, attrs in found.tags for k in attrs)
    assert "viewport" in str(found.tags)


def test_a_report_that_fails_costs_a_warning(tmp_path, monkeypatch, caplog):
    def broken(*args):
        raise RuntimeError("no ink")

    run, plain = RunDir(tmp_path / "a"), RunDir(tmp_path / "b")
    list(start(plain))
    monkeypatch.setattr(run_report, "stage_page", broken)
    assert list(start(run))[-1].result.finished
    assert "no report of" in caplog.text and not run.report.exists()
    assert run.weights.read_bytes() == plain.weights.read_bytes()


def test_the_overview_links_its_stages(tmp_path):
    stage = toys.stage(sample_every=8, metrics_every=8)
    recipe = Recipe("toys", {"first": stage, "second": stage}, cost="nothing", expected="<nothing>")
    write_json(tmp_path / "recipe.json", {"stages": {}})
    list(start(RunDir(tmp_path / "first")))
    found = Page(run_report.write_overview(tmp_path, recipe).read_text("utf-8"))
    assert "1 of 2 stages are finished." in found.text and "not begun" in found.text and "<nothing>" in found.text
    links = [attrs["href"] for tag, attrs in found.tags if tag == "a"]
    assert links == ["first/report.html"] and (tmp_path / links[0]).is_file()
    run_report.write(RunDir(tmp_path / "first"))
    assert ("a", {"href": "../report.html"}) in page(RunDir(tmp_path / "first")).tags


@pytest.mark.parametrize(
    ("steps", "seconds", "left"), [(10, [1.0] * 4, 6.0), (4, [1.0] * 4, 0.0), (200, [9.0] * 50 + [2.0] * 100, 100.0)]
)
def test_what_is_left_follows_the_last_steps(steps, seconds, left):
    log = [{"step": k, "seconds": s} for k, s in enumerate(seconds)]
    assert run_report.seconds_left(log, steps) == left
    assert run_report.seconds_left([], steps) is None
