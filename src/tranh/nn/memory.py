"""The dynamic memory of DM-GAN (Zhu et al. 2019, equations 3 to 8): words are written, looked up by places, and read.

It knows neither captions nor pictures: words are vectors, and so are places.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tranh.nn.sequence import mask_bias


class DynamicMemory(nn.Module):
    """Refines the features r_j of places by a memory of words w_i, in the paper's symbols.

    Args:
        words_dim: N_w, of the words; memory_dim: N_m, of the memory; places_dim: N_r, of the places.
    """

    def __init__(self, words_dim: int, memory_dim: int, places_dim: int) -> None:
        super().__init__()
        self.A, self.B = nn.Linear(words_dim, 1, bias=False), nn.Linear(places_dim, 1, bias=False)
        self.M_w, self.M_r = nn.Linear(words_dim, memory_dim), nn.Linear(places_dim, memory_dim)
        self.phi_K, self.phi_V = nn.Linear(memory_dim, places_dim), nn.Linear(memory_dim, places_dim)
        self.W = nn.Linear(2 * places_dim, places_dim)

    def write(self, w: Tensor, r: Tensor) -> Tensor:
        """Memory writing gate: m_i = M_w(w_i) g_i + M_r(mean r) (1 - g_i), g_i = sigma(A w_i + B mean r).

        Args:
            w: words (B, T, N_w); r: places (B, N, N_r).

        Returns:
            m, (B, T, N_m).
        """
        mean = r.mean(1, keepdim=True)  # (B, 1, N_r)
        g = torch.sigmoid(self.A(w) + self.B(mean))  # (B, T, 1)
        m: Tensor = self.M_w(w) * g + self.M_r(mean) * (1 - g)
        return m

    def address(self, m: Tensor, r: Tensor, mask: Tensor) -> Tensor:
        """Key addressing: alpha_ij = softmax over the slots i of phi_K(m_i)^T r_j; mask (B, T) hides padding.

        Returns:
            alpha, (B, N, T) float32; each place's shares sum to 1.
        """
        scores = (r @ self.phi_K(m).transpose(1, 2)).float() + mask_bias(mask)[:, 0]
        return scores.softmax(-1)

    def respond(self, o: Tensor, r: Tensor) -> Tensor:
        """Response gate: o_j g_j + r_j (1 - g_j), g_j = sigma(W [o_j, r_j] + b)."""
        g = torch.sigmoid(self.W(torch.cat([o, r], dim=-1)))
        return o * g + r * (1 - g)

    def forward(self, w: Tensor, mask: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """The refined places (B, N, N_r), and alpha (B, N, T): to what share each place read each word."""
        m = self.write(w, r)
        alpha = self.address(m, r, mask)
        o = alpha.to(m.dtype) @ self.phi_V(m)  # value reading: o_j = sum_i alpha_ij phi_V(m_i)
        return self.respond(o, r), alpha
