"""Animations on disk with the settings that made them inside: WebP, GIF and MP4, written whole or not at all.

It does not know what the frames show. WebP keeps every pixel, GIF 256 colours for all frames together, MP4 (H.264 by
PyAV) nearly every pixel; how often it is played, a WebP and a GIF say, and of an MP4 the player decides.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tranh.engine.picture import SETTINGS_LIMIT, check_folder, read_settings, xmp
from tranh.files import replacing
from tranh.types import Event, TranhError

Writer = Callable[[Sequence[Image.Image], Path, float, bool, str], Iterator[int]]
"""(frames, file, frames per second, again and again?, settings as JSON): writes, and counts frames as it does."""

MOST = 100
"""Frames per second: GIF counts hundredths of a second, and browsers slow down what is faster than 50."""


def write(
    frames: Iterable[Image.Image], path: Path, settings: Mapping[str, Any], *, fps: float = 12, loop: bool = True
) -> Iterator[Event]:
    """Write frames as one animation, in the format the suffix says.

    Args:
        frames: all of one size; drawn one by one as they are asked for.
        settings: JSON values, kept as XMP (WebP), comment (GIF and MP4).
        fps: frames per second.
        loop: begin again after the last frame; an MP4 cannot say it.

    Yields:
        one event per frame written; the last one's ``result`` is the path.

    Raises:
        TranhError: the place or its suffix will not do, there is no frame, frames differ in size, or ``fps`` is none.
    """
    path = Path(path)
    writer = WRITERS[check_animation(path)]
    check_rate(fps)
    value = json.dumps(dict(settings), ensure_ascii=False).encode("utf-8", "replace").decode()
    if len(value.encode()) > SETTINGS_LIMIT:
        raise TranhError(f"the settings have {len(value.encode())} bytes; {SETTINGS_LIMIT} fit into an animation.")
    every = [frame.convert("RGB") for frame in frames]
    sizes = {frame.size for frame in every}
    if len(sizes) != 1:
        raise TranhError("an animation needs frames, and all of one size" + (f": {sorted(sizes)}" if sizes else ""))
    with replacing(path) as temporary:
        for done in writer(every, temporary, fps, loop, value):
            yield Event("write", done, len(every) + 1)
    yield Event("write", len(every) + 1, len(every) + 1, result=path)


def check_animation(path: Path) -> str:
    """The suffix of an animation at ``path``; to be asked before any work is done for it.

    Raises:
        TranhError: the folder does not exist, ``path`` is a folder, its suffix is no animation's, or PyAV is missing.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITERS and not path.is_dir():
        raise TranhError(f"{path} has no animation's suffix; allowed: {', '.join(WRITERS)}")
    check_folder(path)
    if suffix == ".mp4":
        _av()
    return suffix


def check_rate(fps: float) -> None:
    """Refuse what cannot be shown.

    Raises:
        TranhError: no frames per second, or too many.
    """
    if not 0 < fps <= MOST:
        raise TranhError(f"{fps:g} frames per second were asked for; allowed: above 0, up to {MOST}")


def settings_of(path: Path) -> dict[str, Any]:
    """The settings that :func:`write` put into an animation.

    Raises:
        TranhError: it cannot be read, or holds none of ours.
    """
    path = Path(path)
    if path.suffix.lower() == ".webp":
        return read_settings(path)
    try:
        value = json.loads({".gif": _gif_settings, ".mp4": _mp4_settings}[path.suffix.lower()](path))
    except (KeyError, ValueError, OSError) as error:
        raise TranhError(f"{path} holds no settings of Tranh ({error})") from error
    if not isinstance(value, dict):
        raise TranhError(f"{path} holds no settings of Tranh")
    return value


def _webp(frames: Sequence[Image.Image], path: Path, fps: float, loop: bool, settings: str) -> Iterator[int]:
    first, *rest = frames
    first.save(
        path, "WEBP", save_all=True, append_images=rest, duration=_milliseconds(len(frames), fps),
        loop=0 if loop else 1, lossless=True, method=4, minimize_size=True, xmp=xmp(settings).encode(),
    )  # fmt: skip
    yield len(frames)


def _gif(frames: Sequence[Image.Image], path: Path, fps: float, loop: bool, settings: str) -> Iterator[int]:
    palette = _palette(frames)
    shown = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    first, *rest = shown
    # Times of a GIF are whole hundredths of a second; without a word about repeating it is played once.
    times = [10 * round(ms / 10) for ms in _milliseconds(len(frames), fps)]
    again = {"loop": 0} if loop else {}
    comment = settings.encode()
    first.save(path, "GIF", save_all=True, append_images=rest, duration=times, comment=comment, optimize=False, **again)
    yield len(frames)


def _palette(frames: Sequence[Image.Image]) -> Image.Image:
    """256 colours for all frames together: what stands still does not flicker."""
    stacked = np.concatenate([np.asarray(frame) for frame in frames])
    return Image.fromarray(stacked).quantize(256, method=Image.Quantize.MEDIANCUT)


def _mp4(frames: Sequence[Image.Image], path: Path, fps: float, loop: bool, settings: str) -> Iterator[int]:
    av = _av()
    width, height = frames[0].size
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as file:
        file.metadata["comment"] = settings
        stream = file.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.width, stream.height = width + width % 2, height + height % 2  # the format knows even sides only
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "16", "preset": "medium"}
        for done, frame in enumerate(frames, start=1):
            pixels = np.pad(np.asarray(frame), ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            yield done
        file.mux(stream.encode())


def _milliseconds(count: int, fps: float) -> list[int]:
    """How long each frame is shown; rounded so that the times add up."""
    ends = [round(1000 * k / fps) for k in range(count + 1)]
    return [b - a for a, b in zip(ends, ends[1:], strict=False)]


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise TranhError("MP4 is written by PyAV, which is not here: pip install av, or name a .webp") from error
    return av


def _gif_settings(path: Path) -> str:
    with Image.open(path, formats=("GIF",)) as image:
        return bytes(image.info["comment"]).decode()


def _mp4_settings(path: Path) -> str:
    with _av().open(str(path)) as file:
        return str(file.metadata["comment"])


WRITERS: Mapping[str, Writer] = {".webp": _webp, ".gif": _gif, ".mp4": _mp4}
"""By the suffix of a file."""
