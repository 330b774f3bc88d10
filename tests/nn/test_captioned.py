"""Both readings of a caption: what comes all at once is what comes one by one, and nobody sees what comes after."""

import pytest
import torch

from tranh.nn.captioned import EncoderDecoder, OneStack


def filled(reading):
    """One whose every weight counts."""
    torch.manual_seed(0)
    network = OneStack(20, 7, 16, 2, 2) if reading == "one" else EncoderDecoder(20, 7, 16, 2, 2, text_depth=1)
    for p in network.parameters():
        if p.ndim == 2 and not p.any():
            torch.nn.init.normal_(p, std=0.3)
    return network.eval()


def told(B=3, N=5):
    g = torch.Generator().manual_seed(1)
    tokens, mask = torch.randint(0, 20, (B, 6), generator=g), torch.arange(6) < torch.tensor([[6], [2], [4]])[:B]
    return tokens, mask, torch.randn(B, N, 16, generator=g)


@pytest.mark.parametrize("reading", ["one", "encoder"])
@torch.no_grad()
def test_one_by_one_is_all_at_once(reading):
    network, (tokens, mask, x) = filled(reading), told()
    whole, _ = network(tokens, mask, x)
    state = network.begin(tokens, mask, room=5)
    pieces = [network.extend(x[:, :2], state), *(network.extend(x[:, i : i + 1], state) for i in (2, 3, 4))]
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("reading", ["one", "encoder"])
@torch.no_grad()
def test_it_sees_the_caption_and_what_came_before_and_nothing_else(reading):
    network, (tokens, mask, x) = filled(reading), told()
    whole, _ = network(tokens, mask, x)

    def differs(*changed):
        return (network(*changed)[0] - whole).abs().amax(-1) > 1e-6  # (B, N)

    later = x.clone()
    later[:, 3] += torch.randn(16, generator=torch.Generator().manual_seed(2))
    seen = differs(tokens, mask, later)
    assert not seen[:, :3].any() and seen[:, 3:].all()
    other = tokens.clone()
    other[1, 1] = (other[1, 1] + 1) % 20
    seen = differs(other, mask, x)
    assert seen[1].all() and not seen[[0, 2]].any()
    padding = torch.where(mask, tokens, (tokens + 1) % 20)
    assert not differs(padding, mask, x).any()


@torch.no_grad()
def test_captions_of_one_stack_see_only_backwards():
    network, (tokens, mask, x) = filled("one"), told()
    _, read = network(tokens, mask, x)
    other = tokens.clone()
    other[0, 3] = (other[0, 3] + 1) % 20
    _, again = network(other, mask, x)
    torch.testing.assert_close(read[0, :3], again[0, :3])
    assert not torch.allclose(read[0, 3:], again[0, 3:])
