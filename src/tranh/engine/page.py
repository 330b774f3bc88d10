"""The pieces a run's pages are made of: one HTML file, pictures inside, no script, nothing fetched, fit for a phone.

It knows words, tables and pictures, not what they are about. Every word that is given is escaped.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:70rem;padding:1rem;color:#1c1c1e;background:#fff}
h1{font-size:1.5rem;line-height:1.2;margin:.5rem 0}h2{font-size:1.15rem;margin:1.8rem 0 .4rem}p{margin:.3rem 0}
a{color:#0b57a4}small,.quiet{color:#5b5b60}code,pre{font:13px/1.4 ui-monospace,monospace}
.settings{columns:17rem;column-gap:2rem;font-size:14px}
.settings div{display:flex;justify-content:space-between;gap:1rem;border-bottom:1px solid #ddd;break-inside:avoid}
.settings code{overflow-wrap:anywhere;text-align:right}.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:14px}
td,th{padding:.2rem .8rem .2rem 0;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}
td .bar{min-width:7rem;margin:.3rem 0}
.note{border-left:4px solid #0a6b2d;padding:.3rem .8rem;margin:.4rem 0}
.warning{border-color:#b36b00;background:#fff3d6}.fault{border-color:#b00020;background:#fde7ea}
.bar{background:#e4e4e8;height:.6rem;border-radius:.3rem;overflow:hidden;margin:.6rem 0}
.bar i{display:block;height:100%;background:#0b57a4}
figure{margin:.6rem 0;min-width:0}img{max-width:100%;height:auto;background:#fff}
.panels{display:grid;gap:.5rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr))}
.panels figure{margin:0}.panels img{width:100%;display:block}
.pair{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr))}
@media(prefers-color-scheme:dark){body{color:#e6e6ea;background:#17171a}a{color:#7db8f2}small,.quiet{color:#a0a0a8}
td,th,.settings div{border-color:#3a3a40}.warning{background:#3b2f14}.fault{background:#42151c}.bar{background:#33333a}}
"""


def whole(title: str, parts: Sequence[str], refresh: int | None = None) -> str:
    """A page of parts; with ``refresh`` the browser looks again after so many seconds, for a page that is rewritten."""
    again = f"<meta http-equiv=refresh content={refresh}>" if refresh else ""
    head = (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        f"<meta name=viewport content='width=device-width,initial-scale=1'>{again}"
    )
    return "\n".join([f"{head}<title>{text(title)}</title><style>{STYLE}</style>", *parts]) + "\n</html>\n"


def text(value: object) -> str:
    """Words as HTML."""
    return html.escape(str(value))


def link(where: str, words: str) -> str:
    return f"<a href='{text(where)}'>{text(words)}</a>"


def heading(words: str, level: int = 2) -> str:
    return f"<h{level}>{text(words)}</h{level}>"


def note(words: str, kind: str = "") -> str:
    """A remark; ``kind`` is ``warning``, ``fault`` or nothing for good news."""
    return f"<p class='note {kind}'>{text(words)}</p>"


def bar(share: float) -> str:
    """Progress, a share in [0, 1]."""
    return f"<div class=bar><i style='width:{100 * min(1.0, max(0.0, share)):.1f}%'></i></div>"


def table(rows: Sequence[Sequence[str]], head: Sequence[str] = ()) -> str:
    """Rows of cells that are HTML already."""
    top = f"<tr>{''.join(f'<th>{text(cell)}</th>' for cell in head)}</tr>" if head else ""
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=wide><table>{top}{body}</table></div>"


def settings(values: Mapping[str, Any]) -> str:
    """Names and JSON values, in as many columns as fit."""
    shown = {k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False, default=list) for k, v in values.items()}
    rows = (f"<div><span>{text(k)}</span><code>{text(v)}</code></div>" for k, v in shown.items())
    return f"<div class=settings>{''.join(rows)}</div>"


def beside(*parts: str) -> str:
    """Parts side by side where there is room, one below the other where there is not."""
    return f"<div class=pair>{''.join(parts)}</div>"


def panels(parts: Sequence[str]) -> str:
    """Small pictures in as many columns as fit."""
    return f"<div class=panels>{''.join(parts)}</div>" if parts else ""


def picture(source: Path | bytes, caption: str, shown: bool = True) -> str:
    """A PNG inside the page; a file that is not there gives nothing. The caption is ``shown``, or read aloud only."""
    if isinstance(source, Path):
        if not source.is_file():
            return ""
        source = source.read_bytes()
    data = base64.b64encode(source).decode()
    below = f"<figcaption><small>{text(caption)}</small></figcaption>" if shown else ""
    return f"<figure><img alt='{text(caption)}' src='data:image/png;base64,{data}'>{below}</figure>"


def verbatim(words: str) -> str:
    """Text in columns, as it is."""
    return f"<div class=wide><pre>{text(words)}</pre></div>"


def span(seconds: float) -> str:
    """A length of time for people: ``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
