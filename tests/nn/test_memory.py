"""The dynamic memory against the paper's equations, written out word by word and place by place."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tranh.nn.memory import DynamicMemory


def by_hand(memory, w, r):
    """One picture without padding: w (T, N_w), r (N, N_r), equations 3 to 8 with loops."""
    p = {k: v.detach() for k, v in memory.named_parameters()}
    mean = sum(r) / len(r)
    m = []
    for w_i in w:
        g = 1 / (1 + torch.exp(-(p["A.weight"] @ w_i + p["B.weight"] @ mean)))
        M_w, M_r = p["M_w.weight"] @ w_i + p["M_w.bias"], p["M_r.weight"] @ mean + p["M_r.bias"]
        m.append(M_w * g + M_r * (1 - g))
    keys = [p["phi_K.weight"] @ m_i + p["phi_K.bias"] for m_i in m]
    values = [p["phi_V.weight"] @ m_i + p["phi_V.bias"] for m_i in m]
    new, alpha = [], []
    for r_j in r:
        e = torch.stack([torch.exp(k @ r_j) for k in keys])
        alpha.append(e / e.sum())
        o = sum(a * v for a, v in zip(alpha[-1], values, strict=True))
        g = 1 / (1 + torch.exp(-(p["W.weight"] @ torch.cat([o, r_j]) + p["W.bias"])))
        new.append(o * g + r_j * (1 - g))
    return torch.stack(new), torch.stack(alpha)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 3), st.integers(0, 99))
def test_it_is_the_papers(words, places, padding, seed):
    torch.manual_seed(seed)
    memory = DynamicMemory(4, 5, 3)
    w, r = torch.randn(1, words + padding, 4), torch.randn(1, places, 3)
    mask = torch.arange(words + padding)[None] < words
    with torch.no_grad():
        new, alpha = memory(w, mask, r)
    expected, shares = by_hand(memory, w[0, :words], r[0])
    torch.testing.assert_close(new[0], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(alpha[0, :, :words], shares, atol=1e-5, rtol=1e-4)
    assert not alpha[0, :, words:].any()


def test_words_are_written_by_what_the_picture_shows():
    torch.manual_seed(0)
    memory = DynamicMemory(4, 5, 3)
    w, r = torch.randn(1, 2, 4), torch.randn(1, 6, 3)
    with torch.no_grad():
        assert not torch.allclose(memory.write(w, r), memory.write(w, -r))
        memory.A.weight.zero_(), memory.B.weight.copy_(1e4 * r.mean(1))  # the gate is open: the words alone count
        torch.testing.assert_close(memory.write(w, r), memory.M_w(w))
