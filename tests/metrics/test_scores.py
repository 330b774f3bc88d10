import pytest

from tranh.metrics.report import Report, Sample, Table, html, markdown, percent, points
from tranh.metrics.scores import (
    Outcome,
    exact,
    facts,
    group_table,
    of_group,
    paired_difference,
    share,
    table,
    unpaired_difference,
)  # fmt: skip
from tranh.types import TranhError


def outcome(cluster, right, asked=4, **of):
    said = {"kind": min(1, right), "colour": max(0, right - 1)}
    return Outcome(str(cluster), {"level": "one"} | of, {"kind": 1, "colour": asked - 1}, said)


def test_shares():
    some = [outcome(k, 4 if k % 2 else 2) for k in range(40)]
    assert share(some, exact).value == 0.5 and share(some, exact).count == 40
    assert share(some, facts).value == 0.75 and share(some, of_group("kind")).value == 1
    assert share(some, of_group("colour")).value == pytest.approx(2 / 3)
    with pytest.raises(TranhError, match="nothing was asked"):
        share(some, of_group("light"))


def test_one_scene_in_two_languages_is_one_witness():
    alone = [outcome(k, 4 if k % 2 else 0, language="en") for k in range(60)]
    twice = alone + [outcome(k, 4 if k % 2 else 0, language="vi") for k in range(60)]
    one, two = share(alone, exact), share(twice, exact)
    assert two.value == one.value and two.high - two.low == pytest.approx(one.high - one.low, rel=0.1)
    assert [row["language"] for row in table(twice, ("level", "language"))] == ["en", "vi"]


def test_all_right_has_an_interval_as_wide_as_its_pictures():
    found = share([outcome(k, 4) for k in range(20)], facts)
    assert found.value == found.high == 1 and 0.8 < found.low < 0.9


def test_tables():
    rows = group_table([outcome(0, 4), outcome(1, 1)], ("level",), ("kind", "colour", "light"))
    assert [(r["group"], r["asked"], r["facts"]["value"]) for r in rows] == [("kind", 2, 1.0), ("colour", 6, 0.5)]


def test_differences():
    a = [outcome(k, 2 + k % 2) for k in range(50)]
    b = [outcome(k, 3 + k % 2) for k in range(50)]
    found = paired_difference(a, b, facts)
    assert (found.low, found.value, found.high) == pytest.approx((0.25, 0.25, 0.25))
    loose = unpaired_difference(a, b, facts)
    assert loose.value == pytest.approx(0.25) and loose.low < 0.25 < loose.high
    with pytest.raises(TranhError):
        paired_difference(a, b[:1], facts)


def test_report_is_safe_and_whole():
    interval = {"value": 0.5, "low": 0.25, "high": 0.75}
    sample = Sample("một hình <b>tròn</b>", (("made", b"png"),), ("colour: red",))
    rows = Table("A", ("x|y", "z"), [(percent(interval), 0.12345678)], "n")
    page = Report("T", {"seed": 0, "steps": None}, [rows], ["w"], [sample], "first")
    text, web = markdown(page), html(page)
    assert "x\\|y" in text and "50.0 % [25.0, 75.0]" in text and "0.1235" in text and "**wrong: colour: red**" in text
    assert "&lt;b&gt;" in web and "<b>" not in web and "data:image/png;base64,cG5n" in web and "class=wrong" in web
    assert points(interval) == "+50.0 [+25.0, +75.0]"
