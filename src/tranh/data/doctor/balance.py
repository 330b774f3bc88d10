"""What only shows among many: captions that repeat, languages, classes and splits that are out of balance.

It reads the rows of ``records`` when all pictures were looked at.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict

import numpy as np

from tranh.data.doctor.captions import Met
from tranh.data.doctor.colours import Colours
from tranh.data.doctor.finding import Ledger
from tranh.data.doctor.records import Records

MOST_SHARE = 0.5
"""Share of the captions that one text may be."""
FEW = 0.1
"""Share of different texts under which captions are few; share of a language, a class or a script that is far less than
the others."""
ENOUGH = 10
"""Captions or pictures without which shares say nothing."""
EXPECTED = 0.5
"""Share of the pictures that must have a language for it to be missed in the others."""
CAST = 18.0
"""Distance from grey, in a and b of LAB, of the mean colour of all pictures."""


def balance(records: Records, ledger: Ledger, classes: bool) -> None:
    """Note everything that is out of balance.

    Args:
        classes: are captions the names of classes? Then they repeat.
    """
    _captions(records, ledger, classes)
    _languages(records, ledger)
    _labels(records, ledger)
    _splits(records, ledger)


def _captions(records: Records, ledger: Ledger, classes: bool) -> None:
    rows = records.base.execute("SELECT language, SUM(times), COUNT(*), MAX(times) FROM said GROUP BY language")
    for language, total, different, most in rows.fetchall():
        if classes or total < ENOUGH:
            continue
        name = f" of {language}" if language else ""
        if most > MOST_SHARE * total:
            text, key, place = records.base.execute(
                "SELECT text, key, place FROM said WHERE language = ? AND times = ? LIMIT 1", (language, most)
            ).fetchone()
            ledger.note("one caption for most", text, f"{most} of {total} captions{name}, first {key}", place=place)
        elif different < FEW * total:
            ledger.note("few different captions", language or "all", f"{different} texts in {total} captions{name}")
    counts = dict(
        records.base.execute("SELECT captions, COUNT(*) FROM items WHERE captions > 0 AND listed GROUP BY captions")
    )
    usual = max(counts, key=lambda n: counts[n], default=0)
    if sum(counts.values()) >= ENOUGH and 0.9 <= counts[usual] / sum(counts.values()) < 1:
        rows = records.base.execute(
            "SELECT place, key, captions FROM items WHERE listed AND captions > 0 AND captions != ? ORDER BY place",
            (usual,),
        )
        for place, key, number in rows.fetchall():
            ledger.note("uneven captions", key, f"{number}, most have {usual}", place=place)


def _languages(records: Records, ledger: Ledger) -> None:
    total, having = 0, Counter[str]()
    rows = records.base.execute(
        "SELECT languages, COUNT(*) FROM items WHERE captions > 0 AND listed GROUP BY languages"
    )
    for names, count in rows.fetchall():
        total += count
        for name in filter(None, names.split(",")):
            having[name] += count
    expected = {name for name, count in having.items() if count >= EXPECTED * total}
    if len(expected) > 1:
        rows = records.base.execute(
            "SELECT place, key, languages FROM items WHERE captions > 0 AND listed ORDER BY place"
        )
        for place, key, names in rows:
            missing = sorted(expected - set(names.split(",")))
            if names and missing:
                ledger.note("missing translation", key, f"no {', '.join(missing)}", place=place)
    for name, count in having.items():
        if total >= ENOUGH and count < FEW * max(having.values()):
            ledger.note("language imbalance", name, f"{count} pictures, {max(having.values())} in the other")


def _labels(records: Records, ledger: Ledger) -> None:
    rows = records.base.execute(
        "SELECT label, split, COUNT(*) FROM items WHERE label IS NOT NULL GROUP BY label, split"
    )
    by_split: dict[str, Counter[str]] = defaultdict(Counter)
    for label, split, count in rows.fetchall():
        by_split[label][split] += count
    if not by_split:
        return
    for place, key in records.base.execute(
        "SELECT place, key FROM items WHERE label IS NULL AND listed ORDER BY place"
    ):
        ledger.note("no label", key, place=place)
    sizes = {label: sum(splits.values()) for label, splits in by_split.items()}
    usual = float(np.median(list(sizes.values())))
    few = {label for label, size in sizes.items() if size < FEW * max(sizes.values())}
    if usual >= ENOUGH / 2:
        for label in sorted(few, key=lambda name: sizes[name]):
            ledger.note("class imbalance", label, f"{sizes[label]} pictures; the largest has {max(sizes.values())}",
                        score=sizes[label])  # fmt: skip
    tested = {label: splits for label, splits in by_split.items() if set(splits) & {"validation", "test"}}
    new = {label: splits for label, splits in tested.items() if "train" not in splits}
    if len(new) > MOST_SHARE * len(tested):  # unseen classes are what is tested here, as in CUB's usual splits
        ledger.note("classes are not shared", f"{len(new)} of {len(tested)} labels")
    elif any("train" in splits for splits in by_split.values()):
        for label, splits in new.items():
            ledger.note("class missing in training", label, ", ".join(f"{n} in {s}" for s, n in splits.items() if s))
    spelt: dict[str, list[str]] = defaultdict(list)
    for label in by_split:
        plain = unicodedata.normalize("NFC", label).casefold().replace("_", " ").replace("-", " ")
        spelt[" ".join(plain.split())].append(label)
    for names in spelt.values():
        if len(names) > 1:
            names.sort(key=lambda name: sizes[name])
            told = ", ".join(f"{n!r} ({sizes[n]})" for n in names)
            ledger.note("one class, several names", names[0], told)


def _splits(records: Records, ledger: Ledger) -> None:
    counts: dict[str, int] = dict(
        records.base.execute("SELECT split, COUNT(*) FROM items WHERE listed GROUP BY split").fetchall()
    )
    if not counts.get("validation") and not counts.get("test"):
        ledger.note("no validation split", ", ".join(f"{n or 'unsaid'}: {c}" for n, c in counts.items()))
    if "train" in counts and counts.get("test", 0) + counts.get("validation", 0) > counts["train"]:
        ledger.note("training is the smaller part", ", ".join(f"{n or 'unsaid'}: {c}" for n, c in counts.items()))
    unsaid = counts.pop("", 0)
    if counts and unsaid and unsaid < MOST_SHARE * sum(counts.values()):
        for place, key in records.base.execute(
            "SELECT place, key FROM items WHERE listed AND split = '' ORDER BY place"
        ):
            ledger.note("split not known", key, place=place)


def scripts(seen: Counter[str], ledger: Ledger) -> None:
    """Keep captions in another script only where nearly all are in one."""
    total = sum(seen.values())
    if not total or max(seen.values()) < 0.9 * total:
        ledger.drop("other script")


def forms(seen: Counter[str], ledger: Ledger) -> None:
    """NFD is a warning where there is NFC too; where all captions are NFD nothing is mixed."""
    if not seen["NFC"]:
        ledger.drop("mixed NFC and NFD")


def cast(colours: Colours) -> Met | None:
    """Is the mean of all colours far from grey?"""
    if colours.pictures < ENOUGH:
        return None
    lightness, a, b = colours.mean / colours.pictures
    if float(np.hypot(a, b)) < CAST:
        return None
    towards = ("red" if a > 0 else "green") if abs(a) > abs(b) else ("yellow" if b > 0 else "blue")
    return Met("colour cast", f"L {lightness:.0f}, a {a:+.0f}, b {b:+.0f}: towards {towards}")
