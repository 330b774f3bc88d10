"""Bits of held-out pictures: the histogram against a closed form, a run against its own terms; and the strip."""

import math

import numpy as np
import pytest
import torch

from tranh.diffusion.schedule import VariancePreserving
from tranh.recipes import bits, run
from tranh.recipes.strip import noised, strip
from tranh.types import TranhError


def pictures(levels):
    return levels.float() / 127.5 - 1


def test_the_histogram_of_fair_coins_costs_a_bit():
    g = torch.Generator().manual_seed(0)
    known, asked = (pictures(60 + 9 * torch.randint(0, 2, (n, 3, 4, 4), generator=g)) for n in (2000, 500))
    assert math.isclose(bits.histogram(iter(known.split(100)), asked), 1, abs_tol=0.02)


def test_every_pixel_has_a_histogram_of_its_own():
    g = torch.Generator().manual_seed(0)
    fixed = torch.randint(0, 256, (1, 3, 4, 4), generator=g).expand(500, -1, -1, -1)  # known once the place is known
    found = bits.histogram(iter([pictures(fixed)]), pictures(fixed[:3]))
    assert found < 0.05
    other = pictures((fixed[:3] + 100) % 256)
    assert bits.histogram(iter([pictures(fixed)]), other) > 7  # never seen at its place


def test_what_a_run_costs_is_asked_of_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tranh.recipes.sources.CAPTIONED", 40)
    monkeypatch.setattr(bits, "LEARNED_FROM", 8)
    monkeypatch.setattr(run, "examine_first", lambda *_: None)
    recipe = run.override(
        run.find("ddpm"),
        ["model.image_size=16", "model.fold=2", "model.widths=[32,32]", "model.N=5", "steps=2", "batch=4",
         "data.size=16", "data.count=16", "sample_every=2"],
    )  # fmt: skip
    for _ in run.train(recipe, tmp_path / "run", force=True):
        pass
    for where in ("run", "run/ddpm"):
        *_, last = bits.measure(tmp_path / where, count=3, size=2)
        found = last.result
        assert found.stage == "ddpm" and len(found.terms) == 6
        assert math.isclose(sum(found.terms), found.model.value, rel_tol=1e-4)
        assert found.model.low <= found.model.value <= found.model.high and 0 < found.histogram < 16
    with pytest.raises(TranhError, match="tranh train ddpm"):
        list(bits.measure(tmp_path, count=3))


def no_index(data):
    yield from ()
    return {}


def test_a_flow_is_asked_with_the_painter_it_stands_on(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(bits, "LEARNED_FROM", 8)
    monkeypatch.setattr(run, "examine_first", lambda *_: None)
    monkeypatch.setattr(run, "index_of", no_index)  # nobody draws from it
    small = ["steps=2", "batch=4", "sample_every=2", "painter.model.depth=1", "flow.model.depth=1"]
    for _ in run.train(run.override(run.find("flow", {"source": "digits"}), small), tmp_path / "run", force=True):
        pass
    *_, last = bits.measure(tmp_path / "run", count=3, size=2)
    found = last.result
    assert found.stage == "flow" and len(found.terms) == 1 and 0 < found.model.low <= found.model.high < 16


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_strip_goes_from_the_picture_to_noise_as_the_schedule_says(schedule):
    image = pictures(torch.randint(0, 256, (3, 32, 32), generator=torch.Generator().manual_seed(0)))
    y, said = noised(image, schedule, 5)
    assert (y[0] - image).abs().mean() < 0.02 and 0.9 < y[-1].std() < 1.1
    vp = getattr(VariancePreserving, f"{schedule}_betas")()
    for k, n in enumerate((0, 250, 500, 749, 999)):
        bar = vp.alpha_bar[n].double()
        eps = (y[k] - bar.sqrt() * image) / (1 - bar).sqrt()
        torch.testing.assert_close(eps.float(), (y[4] - vp.alpha_bar[999].sqrt() * image).float(), atol=0.02, rtol=0.02)
        decibels = 10 * math.log10(bar / (1 - bar))
        assert said[k].replace("\u00a0", " ") == f"{schedule} t={n + 1} SNR {decibels:+.1f} dB"


def test_both_schedules_stand_side_by_side():
    image = torch.zeros(3, 16, 16)
    both, one = strip(image, count=4), strip(image, ["cosine"], count=4)
    assert both.width == one.width and both.height > 1.8 * one.height and np.asarray(both).std() > 10
    with pytest.raises(TranhError, match="linear or cosine"):
        strip(image, ["square"])
