"""What adversaries play for, against closed forms."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from tranh.nn.rivalry import ahead, alike, anchored, coarse, diversity, flatness, matching


@given(st.floats(-20, 20), st.floats(-20, 20))
def test_only_the_difference_counts(a, b):
    found = float(ahead(torch.tensor([a]), torch.tensor([b])))
    torch.testing.assert_close(
        found, float(torch.log1p(torch.exp(torch.tensor(b - a, dtype=torch.float64)))), rtol=1e-3, atol=1e-5
    )


def test_flatness_is_the_squared_gradient_in_the_mean():
    torch.manual_seed(0)
    w, x = torch.randn(3, 4, 4), torch.randn(4096, 3, 4, 4)

    def judge(y):
        return (y * w).sum((1, 2, 3))

    found = flatness(judge, x, judge(x), torch.randn(x.shape))
    torch.testing.assert_close(found, w.square().sum(), rtol=0.1, atol=0)


def test_matching_is_symmetric_cross_entropy_and_doubles_are_right():
    torch.manual_seed(0)
    a, b = (torch.nn.functional.normalize(torch.randn(5, 8), dim=-1) for _ in range(2))
    logits, rows = a @ b.T / 0.1, torch.arange(5)
    expected = -(logits.log_softmax(1)[rows, rows].mean() + logits.log_softmax(0)[rows, rows].mean()) / 2
    torch.testing.assert_close(matching(a, b, torch.eye(5, dtype=torch.bool)), expected)
    twice = torch.cat([a[:1], a[:1]])
    everything = torch.ones(2, 2, dtype=torch.bool)
    torch.testing.assert_close(matching(twice, twice, everything), torch.tensor(2.0).log())


def test_captions_are_alike_up_to_padding():
    tokens = torch.tensor([[5, 6, 0], [5, 6, 9], [5, 6, 7]])
    mask = torch.tensor([[True, True, False], [True, True, False], [True, True, True]])
    assert alike(tokens, mask).tolist() == [[True, True, False], [True, True, False], [False, False, True]]


def test_diversity_of_equal_pictures_is_nothing_and_of_strangers_one():
    torch.manual_seed(0)
    real = torch.rand(64, 3, 8, 8) * 2 - 1
    assert float(diversity(real[:4], real[:4], real)) == 0
    torch.testing.assert_close(diversity(real, real.roll(7, 0), real), torch.tensor(1.0), rtol=0.05, atol=0)


def test_coarse_is_the_mean_of_squares():
    x = torch.arange(48.0).view(1, 3, 4, 4)
    torch.testing.assert_close(coarse(x, 2)[0, 0], torch.tensor([[2.5, 4.5], [10.5, 12.5]]))


def test_the_anchor_draws_the_mean_and_leaves_the_variety():
    """Made pictures mu + s z: the gradient is that of (mu - x)^2, and of s only for the share taken singly."""
    torch.manual_seed(0)
    mu, s, real = torch.tensor(0.7, requires_grad=True), torch.tensor(0.5, requires_grad=True), torch.tensor(0.2)
    z, other = torch.randn(2, 200_000, 1, 1, 1)
    for single in (0.0, 0.25, 1.0):
        found = torch.autograd.grad(anchored(mu + s * z, mu + s * other, real.expand_as(z), 1, single), (mu, s))
        torch.testing.assert_close(found[0], torch.tensor(2 * 0.5), atol=0.02, rtol=0)
        torch.testing.assert_close(found[1], torch.tensor(single * 2 * 0.5), atol=0.02, rtol=0)


def test_a_pattern_too_fine_for_the_grid_is_told_by_the_single_share_alone():
    real = torch.zeros(2, 3, 8, 8)
    fine = torch.ones(8, 8)
    fine[::2, ::2] = fine[1::2, 1::2] = -1  # a board of single pixels: every mean of 2 x 2 is 0
    made = real + fine
    torch.testing.assert_close(anchored(made, made, real, 4, 0.5), torch.tensor(0.5))
    torch.testing.assert_close(anchored(made, made, real, 4, 0.0), torch.tensor(0.0))
