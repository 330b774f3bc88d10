"""The verb ``provenance``: what files tell of where they come from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tranh.cli.base import app

if TYPE_CHECKING:
    from tranh.recipes.marks import Found

NOTHING, INVALID, UNREAD = 3, 4, 1
"""Exit codes; of all files the gravest is given: what cannot be read, then what was changed, then what is silent."""

STATES = {
    "trusted": "whole, signed by an authority trusted here",
    "valid": "whole, signed by somebody unknown here",
    "invalid": "NOT whole: the file or the manifest was changed after it was signed",
}


@app.command()
def provenance(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Pictures of any kind.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line and file.")] = False,
    key_folder: Annotated[
        Path | None,
        typer.Option(
            "--keys", metavar="DIR", help="Keys of an installation.", show_default="$TRANH_KEYS, or the user's own"
        ),
    ] = None,
) -> None:
    """Tell where pictures come from: settings, C2PA manifest, IPTC source type, and this installation's watermark.

    \b
    tranh provenance out.png
    tranh provenance --json *.png

    Exit codes: 0 every file tells that a model made it; 3 a file tells nothing (which proves nothing); 4 a manifest was
    tampered with; 1 a file cannot be read. Of several files the gravest is given: 1, then 4, then 3.
    """
    from tranh.recipes.marks import provenance as looked
    from tranh.recipes.marks.keyring import known_keys
    from tranh.types import TranhError

    keys, codes = known_keys(key_folder), {0}
    for file in files:
        try:
            found = looked(file, keys)
        except TranhError as error:
            typer.echo(json.dumps({"name": str(file), "error": str(error)}) if as_json else str(error), err=not as_json)
            codes.add(UNREAD)
            continue
        codes.add(INVALID if found.state == "invalid" else 0 if found.made_by_model else NOTHING)
        typer.echo(json.dumps(found.as_dict(), ensure_ascii=False) if as_json else "\n".join(_words(found)))
    code = next((code for code in (UNREAD, INVALID, NOTHING) if code in codes), 0)
    if code:
        raise typer.Exit(code)


def _words(found: Found) -> Iterator[str]:
    """What was found, in plain words, one line for each kind of mark."""
    verdict = "a model made it, or a part of it" if found.made_by_model else "nothing here tells who made it"
    what = f"damaged, {found.damage}" if found.damage else f"{found.format} of {found.width} x {found.height} pixels"
    yield f"{found.name}: {what}; {verdict}"
    yield f"  settings    {_settings(found)}"
    yield f"  C2PA        {_manifest(found)}"
    yield f"  IPTC        {_plain(found.source_type.rpartition('/')[2]) if found.source_type else 'no source type'}"
    yield f"  watermark   {_watermark(found)}"


def _settings(found: Found) -> str:
    if found.settings is None:
        return "none"
    said = dict(found.settings)
    prompt = said.pop("prompt", None)
    parts = [f'"{prompt}"'] if prompt else ["without its prompt"]
    parts += [f"{name} {value}" for name, value in said.items() if value not in (None, "", []) and name != "understood"]
    return f"{_plain(', '.join(parts))} (as {found.program} writes them)"


def _manifest(found: Found) -> str:
    manifest = found.manifest
    if manifest is None:
        return "no manifest"
    said = f"{manifest.state}: {STATES[manifest.state]}"
    if manifest.state == "invalid":
        return f"{said} ({_plain(', '.join(manifest.problems)) or 'no reason given'})"
    by = ", ".join(name for name in (manifest.signer, manifest.issuer) if name)
    parts = [said, f"by {by}", f"model {manifest.model}", f"on {manifest.created}", " then ".join(manifest.actions)]
    parts += [f"made from {title} ({state or 'no manifest'})" for title, state in manifest.ingredients]
    return _plain("; ".join(parts))


def _watermark(found: Found) -> str:
    mark = found.watermark
    if mark is None:
        return "not looked for: " + ("there are no pixels" if found.damage else "this installation has no key yet")
    from tranh.recipes.marks.watermark import RATE

    verdict = f"yes, {mark.where}" if mark.found else "no mark of this installation"
    return f"{verdict}: z = {mark.z:.1f}; at most {mark.rate:.1g} of unmarked pictures read so high (limit {RATE:g})"


def _plain(text: str) -> str:
    """Words of a file, for a terminal: on one line, without its control characters."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(text.split()))
