"""A diagnosis as one page for people: what was found with pictures of it, and what the data are like, in numbers.

Everything is inside the file: no script, nothing fetched, every word of the data escaped. It looks for no fault itself.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files

from PIL import Image

from tranh.data.decode import decode
from tranh.data.doctor import charts
from tranh.data.doctor.colours import BINS, RANGES
from tranh.data.doctor.finding import Example, Finding, shown
from tranh.data.doctor.kinds import KINDS, SEVERITIES
from tranh.data.doctor.scanning import Diagnosis
from tranh.data.item import Collection

THUMB, SHOWN = 160, 6
"""Pixels of a thumbnail, and how many are shown with a finding."""
SECTIONS = ("Findings", "Captions", "Pictures", "Balance", "Sample")
SPOKEN = {"en": "English", "vi": "Vietnamese", "": "unknown"}

POLICY = "default-src 'none';img-src data:;style-src 'unsafe-inline'"
STYLE = files(__package__).joinpath("page.css").read_text("utf-8")


def page(diagnosis: Diagnosis, title: str) -> Iterator[str]:
    """The page, piece by piece."""
    e = escape
    d = diagnosis
    yield "<!doctype html><html lang=en><meta charset=utf-8>"
    yield "<meta name=viewport content='width=device-width,initial-scale=1'>"
    yield f'<meta http-equiv=Content-Security-Policy content="{POLICY}">'
    yield f"<title>{e(shown(title))} - data doctor</title><style>{STYLE}</style><main>"
    yield f"<p class=sub>Data doctor</p><h1>{e(shown(title))}</h1>"
    part = "" if d.looked == d.total else f" Looked at: {d.looked}, spread evenly."
    yield f"<p class=sub>{_count(d.total, 'picture')}, {_count(d.tally.captions, 'caption')}. Read as "
    yield f"{e(d.opened.kind or 'bare pictures')}: {e(shown(d.opened.why))}.{part}</p>"
    yield _verdict(d)
    yield "<nav>" + "".join(f"<a href='#{name.lower()}'>{name}</a>" for name in SECTIONS) + "</nav>"
    yield "<h2 id=findings>Findings</h2>"
    if not d.findings:
        yield "<p>Nothing is wrong with what was looked at.</p>"
    for finding in d.findings:
        yield _finding(finding, d.collection)
    yield from _captions(d)
    yield from _pictures(d)
    yield from _balance(d)
    yield "<h2 id=sample>Sample</h2><p class=sub>Pictures that can be opened, spread evenly over the data.</p>"
    yield "<div class=grid>"
    for place in d.sample:
        yield _sample(d.collection, place)
    yield "</div></main></html>\n"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _verdict(d: Diagnosis) -> str:
    numbers = {s: sum(f.severity == s for f in d.findings) for s in SEVERITIES}
    boxes = "".join(
        f'<a href="#findings" class={s if n else "good"}><b>{n}</b>{s}{"" if n == 1 else "s"}</a>'
        for s, n in numbers.items()
    )
    if numbers["fault"]:
        said = "Mend the faults before you train: they lose pictures, or make a measurement untrue."
    elif numbers["warning"]:
        said = "Nothing is broken. The warnings would make a model worse."
    else:
        said = "These data are sound."
    return f"<div class=verdict>{boxes}</div><p>{said}</p>"


def _finding(finding: Finding, collection: Collection) -> str:
    e = escape
    opened = " open" if finding.severity == "fault" else ""
    figures: list[str] = []
    lines: list[str] = []
    pairs = False
    for example in finding.examples:
        if len(figures) == SHOWN:
            break
        figure = _figure(example, collection)
        if figure is not None:
            figures.append(figure)
            pairs |= example.other is not None
        else:  # what cannot be seen is told
            lines.append(f"<li>{e(example.key)}{f' <small>{e(example.note)}</small>' if example.note else ''}</li>")
    grid = f'<div class="grid{" pairs" if pairs else ""}">{"".join(figures)}</div>' if figures else ""
    told = f"<ul>{''.join(lines)}</ul>" if lines else ""
    rest = finding.count - len(figures) - len(lines)
    more = f"<p><small>and {rest:,} more, all of them in findings.json</small></p>" if rest > 0 else ""
    what = KINDS[finding.name].what
    return (
        f"<details class={finding.severity}{opened}><summary><i>{finding.severity}</i><b>{e(finding.name)}</b>"
        f"<span>{e(finding.seen.split(':')[0])}</span></summary><p>{e(what[0].upper() + what[1:])}.</p>"
        f"<p class=do><b>Remedy:</b> {_code(finding.remedy)}.</p>{told}{grid}{more}</details>"
    )


def _code(text: str) -> str:
    """Plain text with what stands between backticks as code."""
    return "".join(f"<code>{escape(p)}</code>" if i % 2 else escape(p) for i, p in enumerate(text.split("`")))


def _figure(example: Example, collection: Collection) -> str | None:
    """The picture (beside the one it repeats) with its name, or None where it cannot be opened."""
    picture = None if example.place is None else _thumb(collection, example.place)
    if picture is None:
        return None
    if example.other is not None:
        picture = f"<div class=two>{picture}{_thumb(collection, example.other) or ''}</div>"
    note = f"<em>{escape(example.note)}</em>" if example.note else ""
    return f"<figure>{picture}<figcaption><b>{escape(example.key)}</b>{note}</figcaption></figure>"


def _sample(collection: Collection, place: int) -> str:
    item = collection[place]
    said = "".join(f"<em>{escape(shown(c.text[:160]))}</em>" for c in item.captions[:2])
    return f"<figure>{_thumb(collection, place) or ''}<figcaption>{said}</figcaption></figure>"


def _thumb(collection: Collection, place: int) -> str | None:
    try:
        item = collection[place]
        image = decode(item.read(), box=item.box, at_least=THUMB).image
    except Exception:  # why it cannot be opened is what the finding says
        return None
    small = max(image.size) < 64
    image.thumbnail((THUMB, THUMB), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "WEBP", quality=72)
    data = base64.b64encode(out.getvalue()).decode()
    return f'<img alt=""{" class=px" if small else ""} src="data:image/webp;base64,{data}">'


def _captions(d: Diagnosis) -> Iterator[str]:
    if not d.tally.captions:
        return
    name = escape(d.reading.name)
    yield f"<h2 id=captions>Captions</h2><p class=sub>Tokens as the tokenizer of {name} counts them; it reads "
    yield f"{d.most_tokens} of a caption. One trained on other texts spends more on words it does not know.</p>"
    rows = []
    order = sorted(d.tally.lengths, key=lambda language: -sum(d.tally.lengths[language].values()))
    for language in order:
        lengths = d.tally.lengths[language]
        count, words, tokens = sum(lengths.values()), d.tally.words[language], d.tally.tokens[language]
        over = sum(n for length, n in lengths.items() if length > d.most_tokens)
        rows.append(
            (_language(language), f"{count:,}", f"{words / count:.1f}", f"{tokens / max(words, 1):.2f}",
             f"{len(d.tally.languages.of[language].times):,}", f"{max(lengths):,}", f"{over:,}")
        )  # fmt: skip
    heads = ("language", "captions", "words each", "tokens a word", "different words", "longest, tokens", "too long")
    per = ", ".join(f"{_count(n, 'picture')} with {k}" for k, n in sorted(d.tally.per_picture.items()))
    yield f"{_table(heads, rows)}<p class=sub>Captions each: {per}.</p><div class=cards>"
    for language in order:
        yield _card(f"Tokens in a caption, {_language(language)}", _lengths(d.tally.lengths[language], d.most_tokens))
    yield "</div>"
    for language in order:
        yield "<div class=cards>"
        bag = d.tally.languages.of[language]
        common = [(w, n, f"{n:,}") for w, n in bag.times.most_common(12)]
        yield _card(f"Words, {_language(language)}", _bars(common))
        pairs = [(w, n, f"{n:,}") for w, n in bag.pairs.most_common(12)]
        yield _card(f"Pairs of words, {_language(language)}", _bars(pairs))
        terms = [(w, s, f"{1000 * s:.0f}") for w, s in bag.tf_idf(12)]
        yield _card(f"Terms by TF-IDF (thousandths), {_language(language)}", _bars(terms))
        yield "</div>"
    bags = d.tally.classes.of
    if len(bags) > 1:
        every = list(bags.values())
        top = sorted(bags, key=lambda label: -bags[label].captions)[:20]
        told = [(shown(label), f"{bags[label].captions:,}", ", ".join(w for w, _ in bags[label].tf_idf(10, every)))
                for label in top]  # fmt: skip
        yield "<h3 style='margin-top:1.2rem'>Terms by TF-IDF, per class</h3>"
        yield _table(("class", "captions", "terms"), told, numbers=(1,))


def _language(code: str) -> str:
    return SPOKEN.get(code, code)


def _lengths(lengths: Mapping[int, int], most: int) -> str:
    ordered = sorted(lengths.elements() if hasattr(lengths, "elements") else lengths)
    top = max(ordered[int(0.995 * (len(ordered) - 1))], 8) + 1
    show = most <= 1.3 * top
    end = max(top, most + 1) if show else top
    bins = [0.0] * 40
    for length, count in lengths.items():
        bins[min(int(40 * length / end), 39)] += count
    mark = (most / end, f"{most}: the most that is read") if show else None
    return charts.bars(bins, "tokens in a caption", colours="var(--note)", mark=mark,
                       ticks=[(0, "0"), (0.5, f"{end // 2}"), (1, f"{end}")])  # fmt: skip


def _pictures(d: Diagnosis) -> Iterator[str]:
    colours = d.tally.colours
    if not colours.pictures:
        return
    total = sum(d.tally.formats.values())
    formats = ", ".join(f"{n:,} {name}" for name, n in d.tally.formats.most_common())
    yield f"<h2 id=pictures>Pictures</h2><p class=sub>{_count(total, 'picture')} could be opened: {escape(formats)}; "
    yield f"{d.tally.bytes / 2**20:,.1f} MiB. {colours.grey:,} without colour.</p><div class=cards>"
    yield _card("Shorter side, pixels", _eighths(d.tally.sides, lambda v: f"{v:.0f}"))
    yield _card("Width by height", _eighths(d.tally.shapes, _ratio))
    yield _card("Mean lightness of a picture (L of LAB)", charts.bars(
        list(colours.light), "mean lightness", ticks=[(0, "0"), (0.5, "50"), (1, "100")],
        colours=[f"hsl(0 0% {8 + 84 * i / BINS:.0f}%)" for i in range(BINS)]))  # fmt: skip
    share = {name: values / colours.pictures for name, values in colours.shares.items()}
    yield _card("RGB", charts.curves(
        list(zip(("red", "green", "blue"), share["RGB"], ("#d43c3c", "#2f9e54", "#3b6fd4"), strict=True)),
        "red, green and blue", [(0, "0"), (0.5, "128"), (1, "255")]))  # fmt: skip
    yield _card("HSV: hue, by chroma", charts.bars(
        list(share["HSV"][0]), "hue", colours=[f"hsl({360 * (i + 0.5) / BINS:.0f} 75% 52%)" for i in range(BINS)],
        ticks=[(0, "0°"), (1 / 3, "120°"), (2 / 3, "240°"), (1, "360°")]))  # fmt: skip
    yield _card("HSV: saturation (violet), value (amber)", charts.curves(
        [("saturation", share["HSV"][1], "#8a5cc2"), ("value", share["HSV"][2], "#c78a1e")], "saturation and value",
        [(0, "0"), (0.5, "0.5"), (1, "1")]))  # fmt: skip
    for i, (name, low, high) in enumerate(RANGES["LAB"]):
        tints = {0: lambda t: f"hsl(0 0% {8 + 84 * t:.0f}%)", 1: lambda t: _mix((23, 145, 92), (212, 52, 106), t),
                 2: lambda t: _mix((45, 96, 214), (214, 168, 28), t)}[i]  # fmt: skip
        yield _card(f"LAB: {name}", charts.bars(
            list(share["LAB"][i]), name, colours=[tints((k + 0.5) / BINS) for k in range(BINS)],
            ticks=[(0, f"{low:.0f}"), (0.5, f"{(low + high) / 2:.0f}"), (1, f"{high:.0f}")]))  # fmt: skip
    yield "</div>"


def _mix(a: tuple[int, int, int], b: tuple[int, int, int], t: float) -> str:
    """From one colour over grey to another."""
    end, share = (a, 1 - 2 * t) if t < 0.5 else (b, 2 * t - 1)
    return "rgb(" + " ".join(f"{round(150 + share * (v - 150))}" for v in end) + ")"


def _ratio(value: float) -> str:
    return f"{value:.2g}:1" if value >= 1 else f"1:{1 / value:.2g}"


def _eighths(counts: Mapping[int, int], label: object) -> str:
    assert callable(label)
    low, high = min(counts) - 1, max(counts) + 1
    values = [counts.get(i, 0) for i in range(low, high + 1)]
    at = [low + 1, (low + high) // 2, high - 1] if high - low > 3 else [low + 1]
    ticks = [((i - low + 0.5) / len(values), label(2 ** (i / 8))) for i in at]
    return charts.bars(values, "how many pictures", ticks=ticks)


def _balance(d: Diagnosis) -> Iterator[str]:
    known = {name or "unsaid": count for name, count in d.splits.items()}
    yield "<h2 id=balance>Balance</h2><div class=cards>"
    yield _card("Splits", _bars([(name, n, f"{n:,}") for name, n in known.items()]))
    if d.labels:
        rows = [(shown(name), n, f"{n:,}") for name, n in d.labels.items()]
        some = rows if len(rows) <= 16 else rows[:10] + rows[-6:]
        left = f"<small>{len(rows) - 16:,} classes between are not shown</small>" if len(rows) > 16 else ""
        yield _card(f"Classes: {len(rows):,}", _bars(some) + left)
    yield "</div>"


def _bars(rows: Sequence[tuple[str, float, str]]) -> str:
    most = max((value for _, value, _ in rows), default=1) or 1
    return "".join(
        f'<div class=bar><span title="{escape(name)}">{escape(name)}</span>'
        f'<u style="width:{100 * value / most:.1f}%"></u><small>{escape(said)}</small></div>'
        for name, value, said in rows
    )


def _card(title: str, body: str) -> str:
    return f"<div class=card><h3>{escape(title)}</h3>{body}</div>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] | None = None) -> str:
    right = set(range(1, len(heads)) if numbers is None else numbers)
    mark = [" class=n" if i in right else "" for i in range(len(heads))]
    head = "".join(f"<th{m}>{escape(h)}</th>" for h, m in zip(heads, mark, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{m}>{escape(c)}</td>" for c, m in zip(row, mark, strict=True)) + "</tr>" for row in rows
    )
    return f"<div class=scroll><table><tr>{head}</tr>{body}</table></div>"
