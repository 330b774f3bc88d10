"""Mixtures of normals as invertible maps: each number by its quantile among those that may come after the ones before.

They know neither networks nor pictures. A density of one peak draws the mean of what may come; one of several decides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

WIDE = 1e-3
"""Share of a standard normal in every number: between narrow peaks there is then enough of a density to tell x by z."""
CLOSE, ROUNDS = 1e-9, 300
"""The last step of a search for a quantile, from where Newton's method doubles the digits once more; steps at most."""


@dataclass(frozen=True)
class Peaks:
    """Densities on the line, sum_k w_k N(mu_k, exp(2 alpha_k)); all of one shape (..., K), ``weights`` as logs."""

    weights: Tensor
    mu: Tensor
    alpha: Tensor

    @classmethod
    def normal(cls, like: Tensor) -> Peaks:
        """N(0, 1) for each number of a tensor."""
        none = torch.zeros_like(like)[..., None]
        return cls(none, none, none)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p of each number x (...), in nats."""
        return (self.weights + _each(x, self.mu, self.alpha)).logsumexp(-1)

    def odds(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log P(X <= x) / P(X > x), which is exact in both tails where a probability would be 0 or 1; and the log of
        its slope."""
        v = _from(x, self.mu, self.alpha)
        below = (self.weights + torch.special.log_ndtr(v)).logsumexp(-1)
        above = (self.weights + torch.special.log_ndtr(-v)).logsumexp(-1)
        return below - above, self.log_prob(x) - below - above

    def quantile(self, odds: Tensor) -> Tensor:
        """The inverse of :meth:`odds`, to rounding errors, with its gradient."""
        with torch.no_grad():
            # Phi(-a) <= exp(-a^2 / 2) / 2, and a quantile of the mixture lies among those of its peaks
            reach = (2 * odds.abs()).sqrt()[..., None] * self.alpha.exp() + 1e-6
            low, high = (self.mu - reach).amin(-1), (self.mu + reach).amax(-1)
            x, last = (low + high) / 2, high - low
            for _ in range(ROUNDS):  # Newton's method, and bisection where that leads out or is slow
                at, slope = self.odds(x)
                low, high = torch.where(at <= odds, x, low), torch.where(at >= odds, x, high)
                step = (odds - at) * (-slope).exp()
                quick = (x + step > low) & (x + step < high) & (step.abs() <= last / 2)
                found = step.abs() <= CLOSE * (1 + x.abs())  # rounding errors may lead out too
                step = torch.where(quick | found, step, (low + high) / 2 - x)
                x, last = x + step, step.abs()
                if found.all():
                    break
        at, slope = self.odds(x.detach())
        return x + (odds - at) * (-slope).exp()


@dataclass(frozen=True)
class Mixture:
    """sum_k pi_k prod_d N(x_d; mu_kd, sigma_kd^2) over numbers x (..., D), where every x_d given those before it also
    has a share ``WIDE`` of N(0, 1). Its map to z ~ N(0, I) is triangular (Knothe and Rosenblatt).

    Attributes:
        logits: of pi, (..., K); mu, alpha: (..., D, K), sigma = exp(alpha).
    """

    logits: Tensor
    mu: Tensor
    alpha: Tensor

    def given(self, x: Tensor) -> Peaks:
        """Of each number x (..., D), given those before it: (..., D, K + 1)."""
        before = F.pad(_each(x, self.mu, self.alpha).cumsum(-2)[..., :-1, :], (0, 0, 1, 0))
        weights = (self.logits[..., None, :] + before).log_softmax(-1) + math.log1p(-WIDE)
        none = torch.zeros_like(x)[..., None]
        return Peaks(
            torch.cat([weights, none + math.log(WIDE)], -1),
            torch.cat([self.mu, none], -1),
            torch.cat([self.alpha, none], -1),
        )

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x_d | x_1 ... x_(d-1)) of each number, (..., D), in nats."""
        return self.given(x).log_prob(x)

    def forward(self, x: Tensor) -> Tensor:
        """z of x (..., D); dz/dx of each number is exp(log_prob) / N(z; 0, 1)."""
        x = x.double()
        odds, _ = self.double().given(x).odds(x)
        return Peaks.normal(x).quantile(odds)

    def inverse(self, z: Tensor) -> Tensor:
        """x of z (..., D), number by number."""
        exact = self.double()
        odds, _ = Peaks.normal(z).odds(z.double())
        x = torch.zeros_like(odds)
        for d in range(z.shape[-1]):
            told = exact.given(x)
            one = Peaks(told.weights[..., d, :], told.mu[..., d, :], told.alpha[..., d, :])
            x = torch.cat([x[..., :d], one.quantile(odds[..., d])[..., None], x[..., d + 1 :]], -1)
        return x

    def double(self) -> Mixture:
        """The same in float64: quantiles far out want it."""
        return Mixture(self.logits.double(), self.mu.double(), self.alpha.double())


def _from(x: Tensor, mu: Tensor, alpha: Tensor) -> Tensor:
    """Numbers (...) as seen from each peak (..., K)."""
    return (x[..., None] - mu) * (-alpha).exp()


def _each(x: Tensor, mu: Tensor, alpha: Tensor) -> Tensor:
    """log N(x; mu, exp(2 alpha)) of numbers (...) under each peak (..., K)."""
    return normal(_from(x, mu, alpha)) - alpha


def normal(z: Tensor) -> Tensor:
    """log N(z; 0, 1) of each number, in nats."""
    return -0.5 * z.square() - 0.5 * math.log(2 * math.pi)
