"""Denoisers made of several, against what they must come to."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from tranh.diffusion import ideal
from tranh.diffusion.compose import guided, regional, soft_box, weighed
from tranh.diffusion.guide import classifier_free
from tranh.diffusion.sample import ddim, run, seeded
from tranh.diffusion.schedule import linear

X, T = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0.3, 0.8])


def flat(value):
    return lambda x, t: torch.full_like(x, value)


def test_guidance_between_two_is_that_of_a_pair():
    null, told = ideal.gaussian(-0.5, 0.2), ideal.gaussian(0.5, 0.2)

    def pair(x, t):
        return torch.cat([null(x[:2], t[:2]), told(x[2:], t[2:])])

    torch.testing.assert_close(guided(null, told, 2.5)(X, T), classifier_free(pair, 2.5)(X, T))
    assert torch.equal(guided(null, told, 1.0)(X, T), told(X, T))
    some = guided(null, told, 2.5, (0.5, 1.0))(X, T)
    assert torch.equal(some[0], told(X, T)[0])
    torch.testing.assert_close(some[1], classifier_free(pair, 2.5)(X, T)[1])


@given(st.lists(st.floats(0, 3), min_size=1, max_size=3))
def test_words_weigh_in_proportion_and_one_is_as_usual(weights):
    terms = [(w, flat(0.1 * (k + 1)), flat(0.0)) for k, w in enumerate(weights)]
    expected = 0.2 + sum((w - 1) * 0.1 * (k + 1) for k, w in enumerate(weights))
    torch.testing.assert_close(weighed(flat(0.2), terms)(X, T), torch.full_like(X, expected))


def test_no_weights_no_parts_no_change():
    told = flat(0.2)
    assert weighed(told, []) is told and regional(told, []) is told


def test_a_box_is_one_inside_and_nought_outside():
    share = soft_box((0.25, 0.0, 0.75, 0.5), 64, 64)
    assert share[:28, 20:44].min() == 1  # no edge at the picture's own edge
    assert share[36:].max() == 0 and share[:, :12].max() == 0 and share[:, 52:].max() == 0
    left = soft_box((0.0, 0.0, 0.5, 1.0), 64, 64) + soft_box((0.5, 0.0, 1.0, 1.0), 64, 64)
    torch.testing.assert_close(left, torch.ones(64, 64))  # two halves make a whole, edge and all


def test_each_box_has_its_own_estimate_and_overlaps_are_shared():
    left, right = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
    x0 = regional(flat(0.0), [(left, flat(1.0)), (right, flat(-1.0))])(X, T)
    assert (x0[..., :3] == 1).all() and (x0[..., 5:] == -1).all()
    both = regional(flat(0.0), [(left, flat(1.0)), (left, flat(0.0))])(X, T)
    torch.testing.assert_close(both[..., :3], torch.full_like(both[..., :3], 0.5))
    alone = regional(flat(0.3), [(left, flat(1.0))])(X, T)
    torch.testing.assert_close(alone[..., 5:], torch.full_like(alone[..., 5:], 0.3))


def test_it_is_one_denoising_of_one_state():
    """Where the parts agree nothing is to be seen of the boxes, at any step: the estimates are joined, not pictures."""
    one = ideal.points(torch.stack([torch.full((3 * 8 * 8,), 0.5), torch.full((3 * 8 * 8,), -0.5)]))

    def denoise(x, t):
        return one(x.flatten(1), t).view_as(x)

    noise = seeded([1, 2], (3, 8, 8))()
    boxes = [((0.0, 0.0, 0.5, 1.0), denoise), ((0.25, 0.5, 1.0, 1.0), denoise)]
    plain, joined = (run(ddim(d, noise, linear(8, last=1 / 8))) for d in (denoise, regional(denoise, boxes)))
    torch.testing.assert_close(joined, plain, atol=1e-4, rtol=0)
