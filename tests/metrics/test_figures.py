"""The matcher of figures, on true pictures of emblems and where the answer is known."""

import pytest
import torch

from tranh.metrics.figures import Matcher, figure
from tranh.recipes.subject_cases import Recogniser, shape


def test_it_tells_emblems_from_fifty_distractors_on_renders():
    right = Recogniser(16).on_renders(2, range(10))
    assert len(right) == 20 and sum(right) >= 19


def random_figures(count):
    g = torch.Generator().manual_seed(0)
    return [(torch.rand(3, 8, 8, generator=g) * 2 - 1, torch.ones(1, 8, 8)) for _ in range(count)]


def test_a_figure_is_found_where_it_is_and_fits_exactly():
    known = random_figures(5)
    image = torch.full((3, 40, 40), 0.2)
    image[:, 20:28, 5:13] = known[3][0]
    match = Matcher(known, side=40, radii=(0.1, 0.15))(image)
    assert match.best == 3 and float(match.concordance[3]) == pytest.approx(1, abs=1e-4)
    assert match.places[3].tolist() == pytest.approx([9 / 40, 24 / 40, 0.1])
    assert all(float(match.concordance[k]) < 0.8 for k in (0, 1, 2, 4))


def test_other_colours_are_another_figure():
    known = random_figures(1)
    image = torch.zeros(3, 40, 40)
    image[:, 20:28, 5:13] = 0.2 * known[0][0] + 0.5  # it correlates, and does not agree
    assert float(Matcher(known, side=40, radii=(0.1,))(image).concordance[0]) < 0.6


def test_what_fits_anything_speaks_for_little():
    known, g = random_figures(2), torch.Generator().manual_seed(1)
    plain = (torch.ones(3, 8, 8).cumsum(2) / 4 - 1.2, known[0][1])  # from dark to light, as many a ground
    grounds = torch.linspace(-1, 1, 40).expand(6, 3, 40, 40) + 0.1 * torch.randn(6, 3, 40, 40, generator=g)
    matcher = Matcher([plain, known[1]], side=40, radii=(0.1, 0.2))
    image = grounds[0].clone()
    image[:, 20:28, 5:13] = known[1][0] + 0.4 * torch.randn(3, 8, 8, generator=g)
    before = matcher(image)
    matcher.calibrate(grounds[1:])
    after = matcher(image)
    assert torch.equal(before.scores, before.concordance) and torch.equal(after.concordance, before.concordance)
    assert after.best == 1 and after.scores[0] < 3 < after.scores[1]


def test_colours_and_cover_come_from_two_grounds():
    colours, cover = torch.rand(3, 20, 20) * 2 - 1, torch.zeros(1, 20, 20)
    cover[:, 5:15, 8:12] = 1
    grounds = torch.full((3, 20, 20), -0.8), torch.full((3, 20, 20), 0.9)
    dark, light = (ground + cover * (colours - ground) for ground in grounds)
    found, there = figure(dark, grounds[0], light, grounds[1])
    assert found.shape == (3, 10, 10)
    torch.testing.assert_close(there, cover[:, 5:15, 5:15], atol=1e-5, rtol=0)
    torch.testing.assert_close(found * there, (colours * cover)[:, 5:15, 5:15], atol=1e-5, rtol=0)


def test_an_emblem_reaches_its_square():
    colours, cover = shape(2)
    assert colours.shape[1:] == cover.shape[1:] and 0.2 < float(cover.mean()) < 1
    edges = [cover[0, 0], cover[0, -1], cover[0, :, 0], cover[0, :, -1]]
    assert sum(float(edge.max()) > 0.3 for edge in edges) >= 2
