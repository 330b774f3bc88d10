"""Settings inside a picture, in our words: ours, AUTOMATIC1111's, Fooocus', InvokeAI's and ComfyUI's.

It knows the keys those programs write and opens no file. What is not understood is left out; a text that is none of
these is no settings.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from tranh.engine.picture import EXIF_IFD, TEXT, UNICODE, USER_COMMENT, settings_text

Settings = dict[str, Any]

MOST, MOST_LINE = 2**20, 2**13
"""Characters of a text that are looked at, and of a line of figures: a workflow is long, and no longer than this."""

DEPTH = 16
"""Nodes of a workflow that are followed from the sampler to the words."""

A1111 = {
    "Steps": "steps", "Sampler": "sampler", "CFG scale": "guidance", "Seed": "seed", "Model": "model",
    "Denoising strength": "strength",
}  # fmt: skip
FOOOCUS = {
    "prompt": "prompt", "negative_prompt": "negative_prompt", "steps": "steps", "sampler": "sampler",
    "guidance_scale": "guidance", "seed": "seed", "base_model": "model",
}  # fmt: skip
INVOKE = {
    "positive_prompt": "prompt", "negative_prompt": "negative_prompt", "steps": "steps", "scheduler": "sampler",
    "cfg_scale": "guidance", "seed": "seed", "model": "model",
}  # fmt: skip
COMFY_LINKS = (("positive", "text"), ("negative", "text"), ("latent_image", "width"), ("model", "ckpt_name"))
COMFY = {"seed": "seed", "noise_seed": "seed", "steps": "steps", "cfg": "guidance", "sampler_name": "sampler"}

NUMBERS: Mapping[str, Callable[[Any], int | float]] = {
    "steps": int, "seed": int, "width": int, "height": int, "guidance": float, "strength": float,
}  # fmt: skip
FIGURES = re.compile(r'(?:^|,)\s*([\w ]{1,40}):\s*("(?:\\.|[^\\"])*"|[^,]*)')
SOURCE_TYPE = re.compile(r'DigitalSourceType(?:="([^"]{0,200})"|[^>]{0,200}>([^<]{0,200})<)')
LAST_LINE = re.compile(r"(?:^|\n)(Steps: \d+|Seed: \d+|CFG scale: |Size: \d+x\d+).*\Z")


def settings_in(info: Mapping[str, Any], exif: Mapping[int, Any]) -> tuple[str, Settings] | None:
    """Who wrote settings into a picture, and what they say.

    Args:
        info: texts of the file by key, as Pillow's ``image.info`` has them.
        exif: its EXIF, with the nested one under ``0x8769``.

    Returns:
        the program (``Tranh``, ``AUTOMATIC1111``, ``Fooocus``, ``InvokeAI``, ``ComfyUI``) and the settings, with
        ``width`` and ``height`` where they are told; or None.
    """
    text = _text(info.get(TEXT)) or _comment(exif)
    readers: tuple[tuple[str, Callable[[str], Settings | None], str | None], ...] = (
        ("Tranh", _object, _text(settings_text(info))),
        ("InvokeAI", _invoke, _text(info.get("invokeai_metadata"))),
        ("Fooocus", _fooocus, text),
        ("AUTOMATIC1111", _a1111, text),
        ("ComfyUI", _comfy, _text(info.get("prompt"))),
    )
    for program, reader, given in readers:
        found = reader(given) if given else None
        if found is not None:
            return program, found
    return None


def source_type_in(info: Mapping[str, Any]) -> str | None:
    """The IPTC DigitalSourceType that XMP tells, as an attribute or an element, or None."""
    xmp = _text(info.get("xmp")) or ""
    found = SOURCE_TYPE.search(xmp)
    return html.unescape(found[1] or found[2] or "").strip() or None if found else None


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return str(value)[:MOST] if isinstance(value, str) else None


def _comment(exif: Mapping[int, Any]) -> str | None:
    """The EXIF UserComment: eight bytes that name its code, then the text."""
    inner = exif.get(EXIF_IFD)
    value = inner.get(USER_COMMENT) if isinstance(inner, Mapping) else None
    if isinstance(value, str):
        value = value.encode("latin-1", "replace")
    if not isinstance(value, bytes) or len(value) <= 8:
        return None
    code, text = value[:8], value[8:]
    if code != UNICODE:
        return text.decode("utf-8", "replace")
    little = text[1:2] == b"\0" and text[:1] != b"\0"  # some write the other order of bytes; letters tell which
    return text.decode("utf-16-le" if little else "utf-16-be", "replace")


def _object(text: str) -> Settings | None:
    """A JSON object that can be sent on: no number that is none, no half of a letter."""
    try:
        found = json.loads(json.dumps(json.loads(text), ensure_ascii=False, allow_nan=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _named(found: Mapping[str, Any], names: Mapping[str, str]) -> Settings:
    """What is known of somebody's settings, by our names; a number that is none, or an empty word, is left out."""
    out: Settings = {}
    for theirs, ours in names.items():
        value = found.get(theirs)
        said = _number(value, NUMBERS[ours]) if ours in NUMBERS else value if isinstance(value, str) else None
        if said not in (None, ""):
            out[ours] = said
    return out


def _number(value: Any, kind: Callable[[Any], int | float]) -> int | float | None:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    try:
        number = kind(value)
        return number if math.isfinite(number) else None
    except (ValueError, OverflowError):
        return None


def _sized(out: Settings, width: Any, height: Any) -> Settings:
    return out | _named({"width": width, "height": height}, {"width": "width", "height": "height"})


def _a1111(text: str) -> Settings | None:
    """``prompt``, ``Negative prompt: ..``, and a line of figures; a value with a comma stands in quotation marks."""
    last = LAST_LINE.search(text)
    if last is None:
        return None
    said, line = text[: last.start()], text[last.start() :].strip()[:MOST_LINE]
    prompt, _, negative = said.partition("\nNegative prompt: ")
    if said.startswith("Negative prompt: "):
        prompt, negative = "", said.removeprefix("Negative prompt: ")
    figures = {name.strip(): value.strip().strip('"') for name, value in FIGURES.findall(line)}
    width, _, height = figures.get("Size", "").partition("x")
    words = {"prompt": prompt.strip(), "negative_prompt": negative.strip()}
    return _sized({k: v for k, v in words.items() if v} | _named(figures, A1111), width, height) or None


def _fooocus(text: str) -> Settings | None:
    found = _object(text)
    if found is None or "base_model" not in found:
        return None
    sides = re.findall(r"\d+", str(found.get("resolution", "")))
    return _sized(_named(found, FOOOCUS), *(sides if len(sides) == 2 else ("", "")))


def _invoke(text: str) -> Settings | None:
    found = _object(text)
    if found is None:
        return None
    model = found.get("model")
    name = (model.get("name") or model.get("model_name")) if isinstance(model, dict) else model
    said = _named(found | {"model": name}, INVOKE)
    return _sized(said, found.get("width"), found.get("height")) or None


def _comfy(text: str) -> Settings | None:
    """A graph of nodes: the first sampler, and what its inputs lead to."""
    nodes = _object(text)
    if nodes is None:
        return None
    found = {key: node for key, node in nodes.items() if isinstance(node, dict)}
    graph = {key: node for key, node in found.items() if isinstance(node.get("inputs"), dict)}
    sampler = next((node for node in graph.values() if {"steps", "positive"} <= node["inputs"].keys()), None)
    if sampler is None:
        return None
    given = sampler["inputs"]
    positive, negative, latent, model = (_followed(graph, given.get(name), wanted) for name, wanted in COMFY_LINKS)
    said = {"prompt": positive.get("text"), "negative_prompt": negative.get("text"), "model": model.get("ckpt_name")}
    out = _named(said, {name: name for name in said}) | _named(given, COMFY)
    return _sized(out, latent.get("width"), latent.get("height")) or None


def _followed(graph: Mapping[str, Any], link: Any, wanted: str) -> Mapping[str, Any]:
    """The inputs of the nearest node upstream that has ``wanted`` as a value; empty where there is none."""
    ahead, seen = [link], 0
    while ahead and seen < DEPTH:
        link, seen = ahead.pop(0), seen + 1
        node = graph.get(str(link[0])) if isinstance(link, list) and link else None
        if node is None:
            continue
        inputs: Mapping[str, Any] = node["inputs"]
        if isinstance(inputs.get(wanted), str | int):
            return inputs
        ahead += [value for value in inputs.values() if isinstance(value, list)]
    return {}
