from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.special import erfc

from tranh.data.scenes.draw import render
from tranh.data.scenes.layout import scene
from tranh.recipes.marks import watermark
from tranh.recipes.marks.watermark import FLOOR, RATE, detect, embed, signs, tail

KEY = b"k" * 32


def drawn(side: int, index: int = 0) -> Image.Image:
    return Image.fromarray(render(scene("two", "test", index), side))


def noise(side: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def clouds(side: int, seed: int = 0, spread: float = 20.0) -> Image.Image:
    """As much of every frequency as a photograph has: its spectrum falls as 1 / f."""
    generator = np.random.default_rng(seed)
    up, across = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    frequency = np.hypot(up, across)
    frequency[0, 0] = 1.0
    grey = np.fft.irfft2(np.fft.rfft2(generator.normal(size=(side, side))) / frequency, s=(side, side))
    values = 128 + spread * grey[..., None] / grey.std() + generator.normal(scale=2, size=(side, side, 3))
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def waves(side: int) -> Image.Image:
    """Periodic in a block's 8 pixels: what a correlation that is not normalised takes for a mark."""
    line = np.where(np.arange(side) % 8 < 4, 40, 210).astype(np.uint8)
    return Image.fromarray(np.repeat(np.tile(line, (side, 1))[..., None], 3, axis=2))


UNMARKED = {
    "scene": drawn(64), "large": drawn(160, 3), "noise": noise(64), "clouds": clouds(64), "waves": waves(64),
    "flat": Image.new("RGB", (64, 64), (200, 120, 40)), "ramp": Image.linear_gradient("L").resize((72, 40)),
    "small": drawn(32),
}  # fmt: skip


def psnr(a: Image.Image, b: Image.Image) -> float:
    x, y = (np.asarray(image.convert("RGB"), dtype=np.float64) for image in (a, b))
    return float(10 * np.log10(255.0**2 / np.mean((x - y) ** 2)))


def again(image: Image.Image, format: str, **options: int) -> Image.Image:
    out = io.BytesIO()
    image.save(out, format, **options)
    return Image.open(io.BytesIO(out.getvalue())).convert("RGB")


def resized(image: Image.Image, share: float) -> Image.Image:
    size = round(image.width * share), round(image.height * share)
    return image.resize(size, Image.Resampling.BICUBIC)


# The null


def test_the_bound_is_that_of_the_paper() -> None:
    """c = 1 / (4 Q(sqrt 2)) = 3.178..., reached by the sum of two equal terms at its largest value."""
    normal = 0.5 * erfc(math.sqrt(2) / math.sqrt(2))
    assert tail(math.sqrt(2)) == pytest.approx(0.25)  # P((s + s') / sqrt 2 >= sqrt 2) = 1 / 4 exactly
    assert tail(5.0) == pytest.approx(0.25 / normal * 0.5 * erfc(5 / math.sqrt(2)))
    assert tail(-3) == 1.0 and 0 < tail(60) < 1e-300


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=9), st.floats(0.1, 3))
@settings(max_examples=50)
def test_no_sum_of_signs_passes_the_bound(weights: list[float], z: float) -> None:
    """All 2^n sums, counted."""
    all_signs = 2.0 * ((np.arange(2 ** len(weights))[:, None] >> np.arange(len(weights))) & 1) - 1
    sums = all_signs @ np.array(weights) / np.linalg.norm(weights)
    assert np.mean(sums >= z + 1e-9) <= tail(z)


@pytest.mark.parametrize("name", UNMARKED)
def test_the_null_holds_for_any_picture(name: str) -> None:
    """Over keys: mean 0, variance 1, and tails no heavier than the normal's; or nothing to read at all."""
    folded = watermark._folded(watermark._grey(UNMARKED[name]))
    keys = 4000
    patterns = np.stack([signs(b"%d" % k) for k in range(keys)]).reshape(keys, -1)
    norm = np.linalg.norm(folded)
    if name == "flat":
        assert norm < 1e-6 and detect(UNMARKED[name], KEY).z == 0
        return
    z = patterns @ folded.ravel() / norm
    assert z[0] == pytest.approx(watermark._agreement(folded, signs(b"0")))
    assert abs(z.mean()) < 4 / math.sqrt(keys) and abs(z.var() - 1) < 6 * math.sqrt(2 / keys)
    for level in (2.0, 3.0):
        expected = 0.5 * erfc(level / math.sqrt(2))
        assert np.mean(z >= level) <= expected + 4 * math.sqrt(expected / keys)


@pytest.mark.parametrize("name", UNMARKED)
def test_every_shift_has_the_same_null(name: str) -> None:
    grey = watermark._grey(UNMARKED[name])
    found = [watermark._agreements(grey, signs(b"%d" % k)) for k in range(20)]
    squares = np.mean(np.square(found), axis=0)
    assert np.abs(found).max() < 6 and (name == "flat" or abs(squares.mean() - 1) < 0.25)


def test_no_unmarked_picture_is_told_as_marked() -> None:
    """120 pictures of four kinds, every place searched; the rate stated allows one in a million."""
    pictures = [
        *(drawn(64, k) for k in range(40)), *(clouds(64, k) for k in range(40)), *(noise(48, k) for k in range(20)),
        *(Image.new("RGB", (64, 64), (k * 9, 255 - k * 9, 128)) for k in range(20)),
    ]  # fmt: skip
    readings = [detect(picture, KEY) for picture in pictures]
    assert not any(reading.found for reading in readings)
    assert min(reading.rate for reading in readings) > RATE * 10


def test_another_key_reads_nothing() -> None:
    assert not detect(embed(drawn(64), KEY), b"another key of thirty-two bytes.").found


# The mark


@pytest.mark.parametrize("name", ["scene", "large", "clouds", "waves", "flat", "ramp"])
def test_a_mark_is_found_and_not_seen(name: str) -> None:
    made = embed(UNMARKED[name], KEY)
    assert psnr(made, UNMARKED[name]) >= FLOOR
    reading = detect(made, KEY)
    assert reading.found and reading.where == "in place" and reading.z > 8


def test_the_same_picture_and_key_give_the_same_pixels() -> None:
    first, second = (embed(drawn(64), KEY) for _ in range(2))
    assert first.tobytes() == second.tobytes() != embed(drawn(64), b"x" * 32).tobytes()


SURVIVES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "PNG": lambda image: again(image, "PNG"),
    "WebP without loss": lambda image: again(image, "WEBP", lossless=1),
    "JPEG 90": lambda image: again(image, "JPEG", quality=90),
    "JPEG 75": lambda image: again(image, "JPEG", quality=75),
    "twice as large": lambda image: resized(image, 2),
    "half as large": lambda image: resized(image, 0.5),
    "one and a half": lambda image: resized(image, 1.5),
    "a quarter cut off": lambda image: image.crop((image.width // 8 + 3, 5, image.width, image.height)),
    "lighter": lambda image: image.point([min(255, value + 12) for value in range(256)] * 3),
}


@pytest.mark.parametrize("side", [64, 128])
@pytest.mark.parametrize("how", SURVIVES)
def test_what_a_mark_survives(how: str, side: int) -> None:
    for index in range(3):
        assert detect(SURVIVES[how](embed(drawn(side, index), KEY)), KEY).found, f"{how}, picture {index}"


def test_what_it_does_not_survive() -> None:
    made = embed(drawn(64), KEY)
    assert not detect(made.rotate(5), KEY).found and not detect(resized(made, 0.25), KEY).found


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
@settings(max_examples=30)
def test_any_size_can_be_marked_and_read(width: int, height: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    made = embed(Image.fromarray(pixels), KEY)
    assert made.size == (width, height) and detect(made, KEY).rate > 0


def test_what_is_masked_keeps_every_pixel() -> None:
    image, mask = drawn(128, 2), Image.new("L", (128, 128))
    mask.paste(255, (30, 20, 110, 120))
    before, after = np.asarray(image), np.asarray(embed(image, KEY, mask))
    kept = np.asarray(mask) == 0
    assert (before[kept] == after[kept]).all() and (before[~kept] != after[~kept]).any()
    assert detect(Image.fromarray(after), KEY).found
