"""Walks: great circles, an even pace by arc length, loops that close, and what a frame depends on."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tranh.edits.walk import Road, between, decoded, paced, slerp, steps_between, unclipped, unevenness, walk
from tranh.types import TranhError


def test_slerp_on_a_quarter_circle():
    a, b = torch.tensor([[1.0, 0.0]]).expand(3, 2), torch.tensor([[0.0, 2.0]]).expand(3, 2)
    w = torch.tensor([0.0, 0.5, 1.0])
    want = torch.tensor([[1.0, 0.0], [1.5 * math.sqrt(0.5)] * 2, [0.0, 2.0]])
    torch.testing.assert_close(slerp(a, b, w), want)


def test_between_two_noises_there_is_noise():
    a, b = (torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(k)) for k in range(2))
    middle = slerp(a, b, torch.full((4,), 0.5))
    assert middle.std() == pytest.approx(1, abs=0.05) and torch.lerp(a, b, 0.5).std() < 0.8
    torch.testing.assert_close(slerp(a, a, torch.full((4,), 0.3)), a)


def test_the_last_key_leads_to_the_first():
    i, j, w = between(3, torch.tensor([0.0, 1.25, 2.5, 2.0]))
    assert i.tolist() == [0, 1, 2, 2] and j.tolist() == [1, 2, 0, 0] and w.tolist() == [0.0, 0.25, 0.5, 0.0]


@given(st.integers(2, 30), st.booleans(), st.lists(st.floats(0, 5), min_size=4, max_size=12))
def test_places_are_even_along_the_way(count, loop, lengths):
    """Against the closed form: the way is piecewise linear, so its length up to each place can be said."""
    lengths = torch.tensor([*lengths, 1.0])
    n = len(lengths) if loop else len(lengths) + 1
    at = torch.arange(n).float()
    end = float(n) if loop else float(n - 1)
    found = paced(at, lengths, end, count, loop)
    assert found[0] == 0 and found.diff().min() >= 0 and found[-1] <= end
    if not loop:
        assert found[-1] == pytest.approx(end, abs=1e-3)
    cumulative = torch.cat([torch.zeros(1), lengths.cumsum(0)])
    k = found.floor().long().clamp(max=len(lengths) - 1)
    way = cumulative[k] + (found - k) * lengths[k]
    steps = way.diff()
    assert steps.max() - steps.min() < 2e-3 * float(cumulative[-1])


def squares(at, side=32):
    """A bar whose edge is where the square of the place says: it moves faster and faster. On a loop it comes back."""
    place = torch.minimum(at, 2 - at).square()
    columns = (torch.arange(side) + 0.5) / side
    soft = ((place[:, None] - columns) * side).clamp(-0.5, 0.5) * 2
    yield soft[:, None, None, :].expand(-1, 3, side, side).contiguous()


@pytest.mark.parametrize("loop", [True, False])
def test_a_walk_becomes_even(loop):
    rounds = [r for r in walk(squares, 2.0 if loop else 1.0, 12, loop, rounds=2) if r.done]
    uneven = [unevenness(steps_between(r.frames, loop)) for r in rounds]
    assert len(rounds) == 3 and uneven[0] > 0.5 and uneven[-1] < 0.1
    assert rounds[0].at[0] == 0 and rounds[-1].at[0] == 0


def test_a_walk_tells_how_far_it_is():
    def slowly(at):
        for one in at:
            yield from squares(one[None])

    seen = [(len(r.frames), r.done) for r in walk(slowly, 1.0, 4, loop=False, rounds=1)]
    assert seen == [(1, False), (2, False), (3, False), (4, True)] * 2
    with pytest.raises(TranhError, match="at least 2"):
        next(walk(squares, 1.0, 1))


class Shades:
    """A hierarchy whose pictures are as bright as the first number of the embedding, and half what the words say."""

    said = {"": 0.0, "white": 1.0, "black": -1.0}

    def embed_images(self, images):
        return images.mean((1, 2, 3))[:, None]

    def embed_texts(self, tokens, mask):
        raise AssertionError("not asked")

    def unclip(self, embeddings, prompts, guidance=None):
        words = torch.tensor([self.said[p] for p in prompts])
        value = (embeddings[:, 0] + words) / 2
        return lambda x, t: value[:, None, None, None].expand_as(x) + 0 * x


def frames_of(draw, *at):
    return torch.cat(list(draw(torch.tensor(at))))


def test_words_and_embeddings_change_little_by_little():
    keys = torch.tensor([[0.6, 0.8], [0.8, 0.6]])
    road = Road(keys, ["white", "black"], torch.randn(2, 3, 8, 8))
    draw = unclipped(Shades(), road, torch.tensor([1.0, 0.0]))
    frames = frames_of(draw, 0.0, 1.0, 0.5, 1.5)
    half = math.sqrt(0.5)
    want = [(0.6 + 1) / 2, (0.8 - 1) / 2, half / 2, half / 2]
    torch.testing.assert_close(frames.mean((1, 2, 3)), torch.tensor(want), atol=1e-5, rtol=0)
    torch.testing.assert_close(frames_of(draw, 0.5), frames[2:3])


def test_the_first_frame_is_drawn_from_the_first_noise():
    """A denoiser that answers with what it sees shows the noise itself."""

    class Mirror(Shades):
        def unclip(self, embeddings, prompts, guidance=None):
            return lambda x, t: x

    noise = torch.randn(2, 3, 8, 8).clamp(-1, 1)
    road = Road(torch.eye(2), ["", ""], noise, loop=False)
    frames = frames_of(unclipped(Mirror(), road, torch.tensor([1.0, 0.5, 0.0])), 0.0, 1.0)
    torch.testing.assert_close(frames, noise)
    assert road.length == 1


def test_latents_are_walked_straight():
    class Halves:
        def encode(self, images):
            return images / 2

        def decode(self, latents):
            return latents * 2

    latents = torch.tensor([0.1, 0.4])[:, None, None, None].expand(2, 3, 4, 4)
    frames = frames_of(decoded(Halves(), latents), 0.0, 0.5, 1.5)
    torch.testing.assert_close(frames.mean((1, 2, 3)), torch.tensor([0.2, 0.5, 0.5]))
