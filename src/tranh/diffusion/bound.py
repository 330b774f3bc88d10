"""The chain of DDPM as a model of 8-bit pictures: its posterior, its variances, and its variational bound in bits.

It knows nothing of networks: it is told an x_0 estimate and, where the variance is learned, a share. Units are those of
the paper (Ho et al. 2020), y_n = a x_0 + s eps with a^2 + s^2 = 1; index n = 0 is its t = 1, the last step. Every
figure is in bits per dimension (a dimension is one colour of one pixel), as in Nichol and Dhariwal 2021.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from tranh.diffusion.loss import rows
from tranh.diffusion.schedule import VariancePreserving

Variance = Literal["small", "large", "learned"]
"""Of a step back: beta-tilde, beta, or between the two by a learned share."""

BIN = 1 / 255
"""Half the distance of two neighbouring levels of 8-bit pictures in [-1, 1]."""

FAR = 1e6
"""Standard deviations that stand for infinitely many: infinity has no gradient."""


class Chain:
    """Steps back along a schedule.

    Attributes:
        vp: the schedule; N: its number of indices.
        log_small, log_large: log beta-tilde and log beta of each index, (N,), float64. The first beta-tilde would be 0
            and counts as the second, in both, as in Ho's code. That is about as wide as a level, and so costs drawings
            without grain about one bit per dimension whatever the network does.
    """

    def __init__(self, vp: VariancePreserving) -> None:
        self.vp, self.N = vp, len(vp.betas)
        beta, bar = vp.betas.double(), vp.alpha_bar.double()
        before = torch.cat([bar.new_ones(1), bar[:-1]])
        small = beta * (1 - before) / (1 - bar)
        first = small[1:2] if len(small) > 1 else beta[:1]
        self.log_small = torch.cat([first, small[1:]]).log()
        self.log_large = torch.cat([first, beta[1:]]).log()
        self.signal, self.noise = bar.sqrt(), (1 - bar).sqrt()
        self._of_x0 = before.sqrt() * beta / (1 - bar)
        self._of_y = (1 - beta).sqrt() * (1 - before) / (1 - bar)

    def at(self, table: Tensor, n: Tensor, x: Tensor) -> Tensor:
        """Entries of a table (N,) at indices (B,), with as many axes as x, in its dtype."""
        return rows(table.to(n.device)[n], x).to(x.dtype)

    def corrupt(self, x0: Tensor, eps: Tensor, n: Tensor) -> Tensor:
        """y_n ~ q(y_n | x_0), formula 4 of Ho et al. x0, eps: (B, ...); n: int64 (B,)."""
        return self.at(self.signal, n, x0) * x0 + self.at(self.noise, n, x0) * eps

    def mean(self, x0: Tensor, y: Tensor, n: Tensor) -> Tensor:
        """Mean of q(y_{n-1} | y_n, x_0), formula 7."""
        return self.at(self._of_x0, n, y) * x0 + self.at(self._of_y, n, y) * y

    def log_variance(self, variance: Variance, n: Tensor, y: Tensor, share: Tensor | None = None) -> Tensor:
        """Of p(y_{n-1} | y_n), shaped to go with y.

        Args:
            share: how far the learned one lies from beta-tilde (0) to beta (1), in logarithms, shaped as y (formula 15
                of Nichol and Dhariwal); other variances ignore it.
        """
        small, large = self.at(self.log_small, n, y), self.at(self.log_large, n, y)
        if variance == "learned":
            if share is None:
                raise ValueError("a learned variance needs the network's share: pass share=")
            return small + share.to(y.dtype) * (large - small)
        return {"small": small, "large": large}[variance]

    def term(self, x0: Tensor, y: Tensor, n: Tensor, x0_hat: Tensor, log_variance: Tensor) -> Tensor:
        """One term of the bound: L_{n} = KL(q(y_{n-1} | y_n, x_0) || p(y_{n-1} | y_n)); for n = 0 -log p(x_0 | y_0).

        Args:
            x0: 8-bit pictures in [-1, 1], (B, ...); y: their noised version; n: int64 (B,).
            x0_hat: the network's estimate; log_variance: of :meth:`log_variance`.

        Returns:
            (B,), bits per dimension.
        """
        mean = self.mean(x0_hat, y, n)
        true_log = self.at(self.log_small, n, y)
        kl = normal_kl(self.mean(x0, y, n), true_log, mean, log_variance)
        nll = -discretised_log_likelihood(x0, mean, 0.5 * log_variance)
        return torch.where(rows(n, x0) == 0, nll, kl).flatten(1).mean(1) / math.log(2)

    def prior(self, x0: Tensor) -> Tensor:
        """L_N = KL(q(y_{N-1} | x_0) || N(0, I)): nobody can learn it; a good schedule leaves next to none. (B,)."""
        mean = self.signal[-1].to(x0) * x0
        log_variance = (2 * self.noise[-1].log()).to(x0)
        zero = torch.zeros_like(mean)
        return normal_kl(mean, log_variance + zero, zero, zero).flatten(1).mean(1) / math.log(2)


def normal_kl(mean: Tensor, log_variance: Tensor, other: Tensor, other_log_variance: Tensor) -> Tensor:
    """KL(N(mean, .) || N(other, .)) in nats, element by element."""
    ratio = log_variance - other_log_variance
    return 0.5 * (ratio.exp() - 1 - ratio + (mean - other).square() * (-other_log_variance).exp())


def discretised_log_likelihood(x0: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """log of the mass a Gaussian gives the level of an 8-bit picture, in nats, element by element (formula 13).

    The first and last levels take the tails. The distribution function is exact, where Ho's code approximates it.

    Args:
        x0: levels in [-1, 1]; mean, log_scale: of the Gaussian, the latter log of the standard deviation.
    """
    x0, mean, inverse = x0.double(), mean.double(), (-log_scale).double().exp()
    upper = torch.where(x0 > 1 - BIN, FAR, (x0 - mean + BIN) * inverse)
    lower = torch.where(x0 < BIN - 1, -FAR, (x0 - mean - BIN) * inverse)
    # A mass far out in the right tail is a difference of two numbers next to 1: mirrored, it is one of two small ones.
    swap = (lower + upper) > 0
    high, low = torch.where(swap, -lower, upper), torch.where(swap, -upper, lower)
    a, b = torch.special.log_ndtr(high), torch.special.log_ndtr(low)
    return (a + torch.log1p(-torch.exp((b - a).clamp(max=-1e-12)))).float()
