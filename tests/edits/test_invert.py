"""The noise of a picture: found, normal, and drawn back to the picture."""

import pytest
import torch
from unclip_toys import Toy, picture

from tranh.diffusion.sample import ddim, run, seeded
from tranh.edits.invert import FIRST, STEPS, decode, invert, seen, times
from tranh.metrics.psnr import psnr
from tranh.types import TranhError, Unclips

TOY = Toy()


def latent(images, steps=None, rounds=2, seed=3):
    """Denoiser, noise and grid of pictures."""
    ts = times(steps)
    denoiser = TOY.unclip(TOY.embed_images(images), [""] * len(images), 1.0)
    noise = seeded([seed] * len(images), images.shape[1:])()
    return denoiser, run(invert(denoiser, images, noise, ts, rounds)), ts


def test_the_toy_is_one_of_those():
    assert isinstance(TOY, Unclips)


def test_the_grid_falls_from_noise_to_the_picture_in_so_many_steps():
    for steps in (None, 4, 50):
        ts = times(steps)
        assert len(ts) == (steps or STEPS) + 1 and ts[0] == 1 and ts[-1] == 0 and (ts.diff() < 0).all()
        assert ts[-2] == pytest.approx(FIRST)
    with pytest.raises(TranhError, match="at least 4"):
        times(3)


def test_a_picture_comes_back_from_its_noise_and_only_from_its_own_embedding():
    image = torch.cat([picture("red", 1, 64), picture("blue", 2, 64)])
    denoiser, noise, ts = latent(image)
    back = run(decode(denoiser, noise, ts))
    assert (psnr(back, image.clamp(-1, 1)) > 25).all()
    other = TOY.unclip(TOY.embed_images(image.flip(0)), ["", ""], 1.0)
    assert (psnr(run(decode(other, noise, ts)), image.clamp(-1, 1)) < 15).all()


def test_the_noise_is_normal_but_for_the_grain_that_is_lost_in_being_seen():
    images = torch.cat([picture("red", 1, 64), picture("green", 2, 64)])
    _, noise, _ = latent(images)
    assert noise.mean((1, 2, 3)).abs().max() < 0.03
    assert (noise.var((1, 2, 3)) - 0.9).abs().max() < 0.05
    plain = run(ddim(TOY.unclip(TOY.embed_images(images), ["", ""], 1.0), noise, times()))  # as DDIM goes down
    assert (psnr(plain.clamp(-1, 1), images.clamp(-1, 1)) > 25).all()


def test_it_is_the_step_down_turned_round():
    image = picture("green", 4)
    denoiser, noise, ts = latent(image, rounds=8)
    states = [step.x for step in invert(denoiser, image, seeded([3], image.shape[1:])(), ts, 8)][::-1]
    for step, state in zip(decode(denoiser, noise, ts), states[1:], strict=False):
        torch.testing.assert_close(step.x, state, atol=1e-4, rtol=0)


def test_rounds_bring_it_nearer():
    image = picture("red", 5)

    def error(rounds):
        denoiser, noise, ts = latent(image, None, rounds)
        return float((run(decode(denoiser, noise, ts)) - seen(denoiser, image)).square().mean())

    assert error(2) < error(0) / 2


def test_a_row_does_not_depend_on_its_company():
    images = torch.cat([picture("red", 1), picture("blue", 2)])
    _, together, _ = latent(images)
    _, alone, _ = latent(images[1:])
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=0)
