import pytest
import torch
from torchmetrics.image.fid import _compute_fid

from tranh.metrics import diversity, frechet
from tranh.metrics.neighbours import neighbours
from tranh.types import TranhError


def normal(n, d, seed=0, std=1.0, mean=0.0):
    return mean + std * torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exact(mean, cov, n=400, seed=0):
    """Features whose sample mean and covariance are exactly these."""
    x = normal(n, len(mean), seed)
    x = x - x.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(torch.cov(x.T)), x.T, upper=False)
    return (torch.linalg.cholesky(cov) @ white).T + mean


def test_frechet_of_axis_aligned_gaussians():
    a, b = torch.tensor([1.0, 4.0, 9.0]).double(), torch.tensor([4.0, 4.0, 1.0]).double()
    shift = torch.tensor([0.5, -1.0, 2.0]).double()
    expected = float(shift.square().sum() + (a.sqrt() - b.sqrt()).square().sum())
    found = frechet.frechet(exact(0 * shift, a.diag()), exact(shift, b.diag(), seed=1))
    assert found == pytest.approx(expected, rel=1e-9)


def test_frechet_agrees_with_the_non_symmetric_root():
    a, b = normal(300, 24) @ normal(24, 24, 1), normal(300, 24, 2) @ normal(24, 24, 3)
    product = torch.linalg.eigvals(torch.cov(a.T) @ torch.cov(b.T)).sqrt().real.sum()
    expected = (a.mean(0) - b.mean(0)).square().sum() + torch.cov(a.T).trace() + torch.cov(b.T).trace() - 2 * product
    assert frechet.frechet(a, b) == pytest.approx(float(expected), rel=1e-8)
    assert frechet.frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet.name("verifier") == "FD-verifier"


def test_frechet_agrees_with_torchmetrics():
    a, b = normal(200, 16), normal(250, 16, 1, 1.3, 0.2)
    theirs = _compute_fid(a.mean(0), torch.cov(a.T), b.mean(0), torch.cov(b.T))
    assert frechet.frechet(a, b) == pytest.approx(float(theirs), rel=1e-6)


def test_too_few_pictures_are_refused():
    with pytest.raises(TranhError, match="too few"):
        frechet.frechet(normal(16, 16), normal(100, 16))
    with pytest.raises(TranhError, match="NaN"):
        frechet.frechet(normal(20, 4) / 0, normal(20, 4))
    with pytest.raises(TranhError, match="too few"):
        neighbours(normal(5, 3), normal(50, 3))
    with pytest.raises(TranhError, match="samples"):
        diversity.within(normal(6, 4)[:, None])


def test_neighbours_of_points_on_a_line():
    real = torch.tensor([[0.0], [1.0], [2.0], [10.0]])  # reaches with k = 1: 1, 1, 1, 8
    fake = torch.tensor([[0.5], [3.0], [50.0]])  # reaches: 2.5, 2.5, 47
    found = neighbours(real, fake, k=1)
    assert found.precision == pytest.approx(2 / 3)  # 50 lies in no reach
    assert found.density == pytest.approx((2 + 2) / 3)  # 0.5 lies in those of 0 and 1; 3 in those of 2 and 10
    assert found.coverage == 1.0
    assert found.recall == 1.0  # the outlier at 50 reaches far: why density and coverage are given too


def test_one_distribution_and_two():
    same = neighbours(normal(600, 4), normal(600, 4, 1))
    assert same.precision > 0.9 and same.recall > 0.9 and same.coverage > 0.9 and abs(same.density - 1) < 0.1
    apart = neighbours(normal(600, 4), normal(600, 4, 1, mean=50.0))
    assert (apart.precision, apart.recall, apart.density, apart.coverage) == (0, 0, 0, 0)
    narrow = neighbours(normal(600, 4), normal(600, 4, 1, std=0.2))
    assert narrow.precision > 0.9 and narrow.recall < 0.5


def test_diversity():
    corners = torch.tensor([[[0.0, 0], [3, 4]], [[1, 1], [1, 1]]])  # (2 prompts, 2 samples, 2)
    assert diversity.within(corners).tolist() == [5.0, 0.0]
    assert diversity.between(corners) == pytest.approx((2 * 2**0.5 + 2 * 13**0.5) / 4)
    black_and_white = torch.stack([-torch.ones(3, 4, 4), torch.ones(3, 4, 4)])[None]
    assert diversity.pixels(black_and_white).tolist() == pytest.approx([1.0])
