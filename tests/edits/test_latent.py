"""Edits in latent space against closed forms, on coders whose answer is known."""

import pytest
import torch

from tranh.edits import latent
from tranh.types import TranhError


class Linear:
    """Pictures on a plane through the origin: what lies on it passes, what does not is lost."""

    def __init__(self, numbers=3, side=4, seed=0):
        g = torch.Generator().manual_seed(seed)
        self.side = side
        self.axes = torch.linalg.qr(torch.randn(3 * side * side, numbers, generator=g))[0].T  # (K, D)

    def encode(self, images):
        return images.flatten(1) @ self.axes.T

    def decode(self, latents):
        return (latents @ self.axes).unflatten(1, (3, self.side, self.side))


def on_plane(model, rows, seed=1, scale=1.0):
    z = scale * torch.randn(rows, len(model.axes), generator=torch.Generator().manual_seed(seed))
    return z, model.decode(z)


def test_a_walk_is_straight_and_ends_where_it_should():
    model = Linear()
    z, x = on_plane(model, 2)
    walk = latent.interpolate(model, x[:1], x[1:], 5)
    torch.testing.assert_close(walk[[0, 4]], x, atol=1e-6, rtol=0)
    torch.testing.assert_close(model.encode(walk)[2], z.mean(0), atol=1e-6, rtol=0)


def test_a_walk_keeps_to_the_sphere_where_latents_lie_on_one():
    model = Linear()
    model.sphere = True
    z = torch.tensor([[2.0, 0, 0], [0, 4.0, 0]])
    walk = model.encode(latent.interpolate(model, *(0.1 * model.decode(z)).split(1), 3)) * 10
    torch.testing.assert_close(walk[[0, 2]], z, atol=1e-5, rtol=0)
    torch.testing.assert_close(walk[1], torch.tensor([3.0, 3.0, 0]) / 2**0.5, atol=1e-5, rtol=0)


def test_an_attribute_is_found_and_moved_along():
    model = Linear()
    z, _ = on_plane(model, 200, scale=0.05)
    has = torch.arange(200) % 2 == 0
    z[has, 1] += 0.5
    along = latent.direction(latent.latents_of(model, model.decode(z).split(32)), has)
    assert torch.allclose(along, torch.tensor([0.0, 0.5, 0.0]), atol=0.03)
    x = model.decode(torch.zeros(1, 3))
    moved = latent.move(model, x, along, (-1, 0, 1))
    torch.testing.assert_close(moved[1:2], x)
    torch.testing.assert_close(model.encode(moved)[2] - model.encode(moved)[1], along, atol=1e-5, rtol=0)


@pytest.mark.parametrize("yes", [0, 3, 197, 200])
def test_too_few_of_either_give_no_direction(yes):
    with pytest.raises(TranhError, match="needs 8 of both"):
        latent.direction(torch.zeros(200, 3), torch.arange(200) < yes)


def test_noise_across_the_plane_is_lost():
    model = Linear()
    _, x = on_plane(model, 8, scale=0.3)
    noisy = x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(5))
    before, after = (noisy - x).square().mean(), (latent.denoise(model, noisy) - x).square().mean()
    assert after < 0.15 * before  # 3 of 48 directions of the noise stay


def test_a_missing_part_comes_back_where_the_rest_tells_it():
    model = Linear()
    _, x = on_plane(model, 4, scale=0.3)
    known = torch.ones(1, 1, 4, 4)
    known[..., :, 2:] = 0
    torn = torch.where(known > 0, x, torch.full((), 0.7))
    made = latent.fill(model, torn, known, rounds=400)
    torch.testing.assert_close(made[..., :2], x[..., :2])
    assert (made - x)[..., 2:].abs().max() < 0.02 < (torn - x)[..., 2:].abs().max()


def test_what_is_known_is_kept_and_something_must_be():
    model = Linear()
    _, x = on_plane(model, 2)
    every = latent.fill(model, x, torch.ones(1, 1, 4, 4), rounds=3)
    assert torch.equal(every, x)
    with pytest.raises(TranhError, match="covers the whole picture"):
        latent.fill(model, x, torch.zeros(1, 1, 4, 4))


def test_what_is_off_the_plane_surprises():
    model = Linear()
    _, x = on_plane(model, 8, scale=0.2)
    odd = torch.rand(8, 3, 4, 4, generator=torch.Generator().manual_seed(2)) * 2 - 1
    assert latent.surprise(model, x).max() < 1e-3 < latent.surprise(model, odd).min()


def test_who_cannot_encode_is_refused():
    with pytest.raises(TranhError, match=r"my-model has no latent space of pictures \(it does nothing\)"):
        latent.able(object(), "my-model")
