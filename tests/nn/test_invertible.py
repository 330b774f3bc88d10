"""Invertible maps: bases that keep volumes, a density that integrates to one, samples that follow it."""

import math
from functools import cache

import pytest
import torch

from tranh.nn.invertible import (
    AutoregressiveBlock,
    Details,
    Told,
    coarse_to_fine,
    cosines,
    gaussian,
    haar,
    unhaar,
)

DOUBLE = torch.float64


def block(octaves, length, *, std=0.4, depth=1):
    torch.manual_seed(3)
    one = AutoregressiveBlock(octaves, length, 16, depth, 2, peaks=3).double()
    for p in one.parameters():  # nothing may hide behind a zero
        torch.nn.init.normal_(p, std=std)
    return one.eval()


def plainly(B, length, dim=16, dtype=DOUBLE):
    """Nothing is told of any token, and they come as they are."""
    return torch.zeros(B, length, dim, dtype=dtype), torch.arange(length).expand(B, -1)


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_cosines_are_orthonormal_and_rise_in_frequency(n):
    matrix = cosines(n)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(n, dtype=DOUBLE))
    crossings = (matrix + 1e-9).sign().diff(dim=1).ne(0).sum(1)
    assert crossings.tolist() == list(range(n))


@pytest.mark.parametrize(("p", "sizes"), [(1, [3]), (2, [3, 9]), (4, [3, 9, 36]), (8, [3, 9, 36, 144])])
def test_patches_are_told_from_coarse_to_fine(p, sizes):
    matrix, octaves = coarse_to_fine(p)
    assert octaves == sizes
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(3 * p * p, dtype=DOUBLE))
    grey = matrix @ torch.ones(3 * p * p, dtype=DOUBLE)
    torch.testing.assert_close(grey[0], torch.tensor(math.sqrt(3) * p, dtype=DOUBLE))
    assert grey[1:].abs().max() < 1e-12
    red = matrix @ torch.tensor([1.0, 0, 0], dtype=DOUBLE).repeat_interleave(p * p)
    assert red[:3].abs().min() > 0.1 and (red[3:].abs().max() < 1e-12 if p > 1 else True)


def test_haar_is_a_rotation():
    x = torch.randn(2, 3, 8, 6, dtype=DOUBLE)
    low, details = haar(x)
    assert low.shape == (2, 3, 4, 3) and details.shape == (2, 9, 4, 3)
    torch.testing.assert_close(low, 2 * torch.nn.functional.avg_pool2d(x, 2))
    torch.testing.assert_close(low.square().sum() + details.square().sum(), x.square().sum())
    torch.testing.assert_close(unhaar(low, details), x)


def two_pixels(x):
    """log p(x) of (M, 2)."""
    return PIXELS.log_prob(x[..., None], PREFIX.expand(len(x), -1, -1), *plainly(len(x), 2)).sum(1)


PIXELS = block([1], 2, std=0.3)
PREFIX = 0.5 * torch.ones(1, 1, 16, dtype=DOUBLE)


@cache
@torch.no_grad()
def grid(reach=12.0, n=200):
    """Points of the plane, and the mass of the little square around each."""
    line = torch.linspace(-reach, reach, n, dtype=DOUBLE)
    points = torch.cartesian_prod(line, line)
    mass = two_pixels(points).exp() * (line[1] - line[0]) ** 2
    return points, mass


def test_the_density_of_two_pixels_integrates_to_one():
    _, mass = grid()
    assert mass.sum().item() == pytest.approx(1, abs=2e-3)


@torch.no_grad()
def test_samples_of_two_pixels_follow_the_density():
    points, mass = grid()
    M = 8000
    x = torch.randn(M, 2, 1, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    x = PIXELS.inverse(x, PREFIX.expand(M, -1, -1), *plainly(M, 2))[..., 0]
    for k in range(3):  # of both pixels and of their product
        of = (lambda p, k=k: p[:, k]) if k < 2 else (lambda p: p[:, 0] * p[:, 1])
        for power in (1, 2):
            true = (of(points) ** power * mass).sum()
            error = (of(x) ** power).std() / math.sqrt(M)
            assert abs((of(x) ** power).mean() - true) < 4 * error + 3e-3 * abs(true), (k, power)
    inside = mass[(points[:, 0] > 0) & (points[:, 1] > 0)].sum().item()
    assert ((x > 0).all(1).double().mean().item()) == pytest.approx(inside, abs=0.02)


def test_a_density_is_learned_to_its_entropy():
    """x_1 is near -1 or 1, x_2 ~ N(sin 2 x_1, 0.3^2): no normal density comes near."""
    torch.manual_seed(0)
    one = AutoregressiveBlock([1], 2, 32, 1, 2)
    prefix = torch.zeros(1, 1, 32)
    optimizer = torch.optim.Adam(one.parameters(), lr=5e-3)
    losses = []
    for _ in range(250):
        x = torch.randn(256, 2)
        x[:, 0] = x[:, 0].sign() + 0.1 * torch.randn(256)
        x[:, 1] = (2 * x[:, 0]).sin() + 0.3 * x[:, 1]
        loss = (
            -one.log_prob(x[..., None], prefix.expand(256, -1, -1), *plainly(256, 2, 32, torch.float32)).sum(1).mean()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    entropy = math.log(2) + math.log(2 * math.pi * math.e) + math.log(0.1 * 0.3)
    assert sum(losses[-30:]) / 30 == pytest.approx(entropy, abs=0.12)


def test_a_token_depends_on_those_before_it_alone():
    one = block([2, 4], 5, depth=2)
    x, prefix = torch.randn(1, 5, 6, dtype=DOUBLE), torch.randn(1, 3, 16, dtype=DOUBLE)
    jacobian = torch.autograd.functional.jacobian(lambda x: one(x, prefix, *plainly(1, 5)).flatten(), x).view(
        5, 6, 5, 6
    )
    seen = jacobian.abs().amax((1, 3)) > 1e-12
    assert torch.equal(seen, torch.ones(5, 5).tril().bool())
    inside = jacobian[2, :, 2, :]  # a number is told by those before it in its token
    assert inside.triu(1).abs().max() < 1e-12 and inside.diagonal().min() > 0
    assert (inside[2:, :2].abs() > 1e-12).all()


def test_a_block_says_by_how_much_it_stretches():
    one = block([2, 4], 3)
    x, prefix = torch.randn(1, 3, 6, dtype=DOUBLE), torch.randn(1, 2, 16, dtype=DOUBLE)
    told = torch.randn(1, 3, 16, dtype=DOUBLE), torch.tensor([[2, 0, 1]])
    jacobian = torch.autograd.functional.jacobian(lambda x: one(x, prefix, *told).flatten(), x).view(18, 18)
    z = one(x, prefix, *told)
    torch.testing.assert_close(one.log_prob(x, prefix, *told).sum(1) - gaussian(z), jacobian.slogdet()[1][None])
    torch.testing.assert_close(one.inverse(z, prefix, *told), x)


def test_tokens_come_in_any_order_and_are_given_as_they_lie():
    one = block([2, 4], 4, depth=2)
    x, prefix, told = (torch.randn(2, *shape, dtype=DOUBLE) for shape in ((4, 6), (2, 16), (4, 16)))
    order = torch.tensor([[2, 0, 3, 1], [1, 3, 0, 2]])

    def z(x):
        return one(x, prefix, told, order)

    for row, come in enumerate(order.tolist()):
        changed = x.clone()
        changed[row, come[2]] += 1
        seen = (z(changed) - z(x)).abs().amax(2)[row] > 1e-9
        assert seen.nonzero().flatten().tolist() == sorted(come[2:])
        moved = one.log_prob(changed, prefix, told, order) - one.log_prob(x, prefix, told, order)
        assert (moved[row].abs() > 1e-9).nonzero().flatten().tolist() == sorted(come[2:])
    torch.testing.assert_close(one.inverse(z(x), prefix, told, order), x)


def test_no_number_is_drawn_beyond_the_limit():
    one, prefix = block([2, 4], 5), torch.randn(2, 1, 16, dtype=DOUBLE)
    z = 3 * torch.randn(2, 5, 6, dtype=DOUBLE)
    with torch.no_grad():
        free, cut = (one.inverse(z, prefix, *plainly(2, 5), **limit) for limit in ({}, {"limit": 1.5}))
    assert free.abs().max() > 1.5 and cut.abs().max() == 1.5
    assert torch.equal(cut[:, 0, :2], free[:, 0, :2].clamp(-1.5, 1.5))  # nothing comes before


def test_rows_without_tails_are_normal_nearly():
    shift, alpha, delta = torch.zeros(2, 5, dtype=DOUBLE), torch.zeros(2, 5, dtype=DOUBLE), torch.full((2, 5), 9.0)
    told = Told.of(shift, alpha, delta, torch.tensor([True, False]))
    assert told.delta[0].min() > 1 and told.delta[1].max() < 0.03
    x = torch.full((2, 5), 4.0, dtype=DOUBLE)
    z, log = told.forward(x)
    torch.testing.assert_close(z[1], x[1], atol=0.01, rtol=0)
    assert z[0].max() < 2 and log[0].max() < -1


def test_tails_go_there_and_back_and_cost_little():
    x = torch.linspace(-50, 50, 200001, dtype=DOUBLE)
    told = Told.of(torch.full_like(x, 0.5), torch.full_like(x, -0.7), torch.zeros_like(x))
    z, log = told.forward(x)
    torch.testing.assert_close(told.inverse(z), x)
    torch.testing.assert_close(log.exp(), torch.gradient(z, spacing=(x,))[0], atol=1e-6, rtol=1e-4)
    density = (-0.5 * z.square() - 0.5 * math.log(2 * math.pi) + log).exp()
    assert torch.trapezoid(density, x).item() == pytest.approx(1, abs=1e-3)
    assert -0.5 * z[-1].square() + log[-1] > -40  # 100 standard deviations away: a normal density has -5000


def test_details_are_taken_apart_and_put_back():
    torch.manual_seed(0)
    details = Details(8, 1, 5).double()
    for p in details.parameters():
        torch.nn.init.normal_(p, std=0.2)
    d, low, whole = (torch.randn(2, *shape, dtype=DOUBLE) for shape in ((9, 4, 4), (3, 4, 4), (5,)))
    z, log = details(d, low, whole)
    torch.testing.assert_close(details.inverse(z, low, whole), d)
    assert (details(d, low, -whole)[0] - z).abs().max() > 1e-3
    jacobian = torch.autograd.functional.jacobian(lambda d: details(d, low[:1], whole[:1])[0].flatten(), d[:1])
    torch.testing.assert_close(jacobian.view(144, 144).slogdet()[1], log[0])
