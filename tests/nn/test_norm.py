"""The norm against PyTorch's own, forwards and backwards."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tranh.nn.norm import RMSNorm


def pair(x, eps=1e-6):
    """Result, gradient of x, gradient of the weight: ours, then PyTorch's."""
    out = []
    weight, g = torch.linspace(0.5, 2, x.shape[-1]), torch.linspace(-1, 1, x.numel()).view(x.shape)
    for mine in (True, False):
        a, norm = x.clone().requires_grad_(), RMSNorm(x.shape[-1], eps).to(x.dtype)
        norm.weight.data.copy_(weight)
        y = norm(a) if mine else F.rms_norm(a, (x.shape[-1],), norm.weight, eps)
        y.backward(g.to(x.dtype))
        out.append((y.detach(), a.grad, norm.weight.grad))
    return out


@settings(deadline=None)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=4), st.sampled_from([1e-3, 1.0, 1e3]), st.integers(0, 99))
def test_equals_torch(shape, scale, seed):
    x = scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    ours, theirs = pair(x)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_gradient_is_the_derivative():
    norm = RMSNorm(6).double()
    assert torch.autograd.gradcheck(norm, torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True))


def test_half_precision_is_as_exact_as_torch():
    x = torch.randn(64, 3, 2, 16, generator=torch.Generator().manual_seed(0)).bfloat16().permute(2, 0, 1, 3)
    (ours, theirs), (true, _) = pair(x), pair(x.double())  # a permuted view, as heads arrive
    for a, b, exact in zip(ours, theirs, true, strict=True):
        assert a.dtype == torch.bfloat16
        error = (a - exact).abs()
        assert error.mean() <= 2 * (b - exact).abs().mean() and error.max() <= 0.02 * exact.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_zero_stays_zero(dtype):
    y, dx, _ = pair(torch.zeros(2, 4, dtype=dtype))[0]
    assert not y.any() and dx.isfinite().all()
