"""Walks, variations, text diffs and sweeps, on a model with a closed form."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from unclip_toys import COLOURS, Toy, picture

from tranh.diffusion.sample import run, seeded
from tranh.edits.interpolate import interpolate, slerp
from tranh.edits.invert import invert, times
from tranh.edits.sweep import components, sweep
from tranh.edits.textdiff import FULL, moved, textdiff
from tranh.edits.variation import variation
from tranh.metrics.psnr import psnr
from tranh.types import TranhError

TOY, TS = Toy(), times()


def unit(*rows):
    return F.normalize(torch.tensor(rows), dim=-1)


def latent(image, words=""):
    """Embedding and noise of a picture."""
    z = TOY.embed_images(image)
    noise = seeded([3], image.shape[1:])()
    return z, run(invert(TOY.unclip(z, [words], 1.0), image, noise, TS))


def colour(x):
    """The name of a picture's colour."""
    names = list(COLOURS)
    return names[int(x.mean((0, 2, 3)).argmax())]


@given(st.floats(0, 1), st.floats(0.01, 3.1))
def test_slerp_goes_evenly_along_the_great_circle(share, angle):
    a, b = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[math.cos(angle), math.sin(angle), 0.0]])
    out = slerp(a, b, share)
    torch.testing.assert_close(
        out, torch.tensor([[math.cos(share * angle), math.sin(share * angle), 0.0]]), atol=1e-5, rtol=0
    )


def test_slerp_of_noise_is_noise():
    a, b = torch.randn(2, 3, 64, 64), torch.randn(2, 3, 64, 64)
    half = slerp(a, b, 0.5)
    assert (half.var((1, 2, 3)) - 1).abs().max() < 0.05 and half.mean().abs() < 0.05
    assert ((a + b) / 2).var() < 0.6  # where a straight line would pass
    torch.testing.assert_close(slerp(a, b, 0.0), a)
    torch.testing.assert_close(slerp(a, b, 1.0), b)
    torch.testing.assert_close(slerp(a, a, 0.3), a)


def test_a_walk_begins_and_ends_at_its_pictures():
    images = [picture("red", 1), picture("blue", 2)]
    (za, na), (zb, nb) = (latent(image, word) for image, word in zip(images, ("red", "blue"), strict=True))
    walk = [run(interpolate(TOY, (za, zb), (na, nb), k / 4, TS, ("red", "blue"))) for k in range(5)]
    assert psnr(walk[0], images[0].clamp(-1, 1)) > 24
    assert psnr(walk[-1], images[1].clamp(-1, 1)) > 24
    blue = [float(x[:, 2].mean() - x[:, 0].mean()) for x in walk]
    assert all(b > a for a, b in zip(blue, blue[1:], strict=False))


def test_the_dial_of_a_variation_leads_from_the_picture_to_another_one():
    image = picture("green", 1)
    z, noise = latent(image)
    fresh = seeded([8], image.shape[1:])()
    made = [run(variation(TOY, z, noise, fresh, change, TS)) for change in (0.0, 0.3, 0.6, 1.0)]
    assert psnr(made[0], image.clamp(-1, 1)) > 24
    apart = [float((x - image).square().mean()) for x in made]
    assert all(b > a for a, b in zip(apart, apart[1:], strict=False))
    assert all(colour(x) == "green" for x in made)
    guided = run(variation(TOY, z, noise, fresh, 0.0, TS, guidance=3.0))
    torch.testing.assert_close(guided, made[0])  # guidance comes in with the change


def test_the_moved_embedding_lies_on_the_way_to_the_difference():
    z, before, after = unit([1.0, 0.2, 0.0]), unit([1.0, 0.0, 0.3]), unit([0.0, 0.0, 1.0])
    direction = F.normalize(after - before, dim=-1)
    angle = torch.acos((z * direction).sum())
    for strength in (0.0, 0.5, 1.0):
        out = moved(z, before, after, strength)
        torch.testing.assert_close(torch.acos((out * z).sum().clamp(max=1)), strength * FULL * angle, atol=1e-3, rtol=0)
        torch.testing.assert_close(out.norm(), torch.tensor(1.0))
    assert torch.equal(moved(z, before, before, 1.0), z)


def test_a_text_diff_changes_what_was_asked_and_keeps_the_grain():
    image = picture("red", 1)
    z, noise = latent(image, "red")
    texts = (unit(COLOURS["red"]), unit(COLOURS["blue"]))

    def made(strength):
        return run(textdiff(TOY, z, texts, noise, strength, TS, ("red", "blue")))

    assert colour(image) == "red" and colour(made(1.0)) == "blue"
    assert psnr(made(0.0), image.clamp(-1, 1)) > 24
    middle = made(1.0) - made(1.0).mean((2, 3), keepdim=True)
    grain = image - image.mean((2, 3), keepdim=True)
    assert float((middle * grain).sum() / (middle.norm() * grain.norm())) > 0.3
    blue = [float(made(s)[:, 2].mean() - made(s)[:, 0].mean()) for s in (0.0, 0.3, 0.6, 1.0)]
    assert all(b > a for a, b in zip(blue, blue[1:], strict=False))


def test_strength_nought_runs_the_network_too(monkeypatch):
    calls = []
    unclip = TOY.unclip

    def counted(*args):
        denoiser = unclip(*args)
        return lambda x, t: calls.append(1) or denoiser(x, t)

    z, noise = latent(picture("red", 1))
    monkeypatch.setattr(TOY, "unclip", counted)
    run(textdiff(TOY, z, (unit(COLOURS["red"]), unit(COLOURS["blue"])), noise, 0.0, TS, ("", "")))
    assert len(calls) == len(TS) - 1


def test_components_are_those_of_the_covariance():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(400, 5, generator=g) * torch.tensor([3.0, 0.1, 1.0, 0.2, 0.5]) + 2
    found = components(x)
    values, vectors = torch.linalg.eigh(torch.cov(x.T, correction=0))
    torch.testing.assert_close(found.spread, values.flip(0).sqrt(), atol=1e-4, rtol=0)
    torch.testing.assert_close((found.directions @ vectors.flip(1)).abs(), torch.eye(5), atol=1e-3, rtol=0)
    assert (found.directions.gather(1, found.directions.abs().argmax(1, keepdim=True)) > 0).all()


def test_a_sweep_moves_along_one_component_and_stays_on_the_sphere():
    found = components(torch.randn(50, 4, generator=torch.Generator().manual_seed(0)))
    z = unit([1.0, 2.0, 0.0, 1.0])
    out = sweep(z, found, 2, [-2.0, 0.0, 2.0])
    torch.testing.assert_close(out.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(out[1:2], z)
    along = out @ found.directions[1]
    assert along[0] < along[1] < along[2]
    for wrong in (0, 5):
        with pytest.raises(TranhError, match="1 to 4"):
            sweep(z, found, wrong, [0.0])
    with pytest.raises(TranhError, match="at least 8"):
        components(torch.randn(3, 4))
