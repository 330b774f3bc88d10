"""Systems whose pictures a simulated rater can tell apart by their colour, and such raters."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tranh.serve.rating.study import Study, study
from tranh.serve.rating.systems import read

RED = {"quokka": 40, "numbat": 120, "wombat": 200}
"""Names that stand nowhere else, and the red of each system's pictures."""

TRUE = {"quokka": 0.9, "numbat": 0.0, "wombat": -0.9}
"""Strengths of the systems, for raters who know only colours."""

ORIGIN = "http://127.0.0.1:8765"


def folder(path: Path, red: int, captions: int = 8, samples: int = 2, said: Callable[[int], str] | None = None) -> Path:
    """Pictures whose upper half has the red of the system and whose lower half tells caption and sample."""
    path.mkdir()
    lines = []
    for i in range(captions):
        english = said(i) if said else f"a thing with number {i}"
        for k in range(samples):
            pixels = np.zeros((16, 16, 3), np.uint8)
            pixels[:8] = (red, 255, 255)
            pixels[8:] = (red, 20 * i, 60 * k)
            named = PngInfo()
            named.add_itxt("parameters", f"Model: {path.name}")
            Image.fromarray(pixels).save(path / f"{i}-{k}.png", pnginfo=named)
            lines.append({"file_name": f"{i}-{k}.png", "text_en": english, "text_vi": f"một vật có số {i}"})
    (path / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def study_of(folders: list[Path], **options: object) -> Study:
    return study([read(path, path.name) for path in folders], **options)  # type: ignore[arg-type]


def pixels_of(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        assert not image.info, image.info  # nothing but pixels
        return np.array(image)


def answer(
    left: list[np.ndarray], right: list[np.ndarray], rng: np.random.Generator, true: dict[str, float] = TRUE
) -> str:
    """What an attentive rater says who sees nothing but the pictures; prefers systems as Bradley and Terry say."""
    if all(np.array_equal(a, b) for a, b in zip(left, right)):
        return "same"
    for name, side in (("right", left), ("left", right)):
        noise = len(side) == 1 and len(np.unique(side[0][0], axis=0)) > 1
        copies = len(side) > 1 and all(np.array_equal(side[0], one) for one in side)
        if noise or copies:
            return name
    by_red = {red: name for name, red in RED.items()}
    d = (true[by_red[int(left[0][0, 0, 0])]] - true[by_red[int(right[0][0, 0, 0])]]) / 2
    p = np.exp([d, -2.0, -d])
    return ("left", "same", "right")[rng.choice(3, p=p / p.sum())]


@contextmanager
def command(*args: object):
    """``tranh rate`` as a process: gives it, the raters' address and the owner's."""
    line = [sys.executable, "-m", "tranh", "rate", *map(str, args), "--port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        said = [process.stdout.readline() for _ in range(2)]
        found = [re.search(r"http://\S+", one) for one in said]
        assert all(found), said if said[0] else process.stderr.read()
        yield process, found[0][0], found[1][0]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
        process.stdout.close()
        process.stderr.close()
