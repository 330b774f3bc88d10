import pytest
import torch

from tranh.diffusion import sample, schedule
from tranh.diffusion.guide import classifier_free
from tranh.diffusion.ideal import gaussian

null, cond = gaussian(0.0, 0.5), gaussian(0.4, 0.5)


class Pair:
    """Denoiser of 2 B rows that counts its calls."""

    calls = 0

    def __call__(self, x, t):
        self.calls += 1
        half = len(x) // 2
        return torch.cat([null(x[:half], t[:half]), cond(x[half:], t[half:])])


def test_guidance_is_the_formula_in_one_call():
    x, t, pair = torch.randn(3, 1, 2, 2), torch.tensor([0.9, 0.5, 0.1]), Pair()
    guided = classifier_free(pair, 3.0)(x, t)
    torch.testing.assert_close(guided, null(x, t) + 3 * (cond(x, t) - null(x, t)))
    assert pair.calls == 1


def test_scale_may_differ_by_row_and_1_is_exactly_the_condition():
    x, t = torch.randn(2, 1, 2, 2), torch.tensor([0.9, 0.5])
    guided = classifier_free(Pair(), torch.tensor([1.0, 4.0]))(x, t)
    assert torch.equal(guided[0], cond(x, t)[0])
    torch.testing.assert_close(guided[1], (null(x, t) + 4 * (cond(x, t) - null(x, t)))[1])


def test_outside_the_interval_the_condition_stands_alone():
    x, t, pair = torch.randn(2, 1, 2, 2), torch.tensor([0.95, 0.5]), Pair()
    guided = classifier_free(pair, 3.0, (0.2, 0.8))(x, t)
    assert torch.equal(guided[0], cond(x, t)[0]) and not torch.equal(guided[1], cond(x, t)[1])
    alone = classifier_free(pair, 3.0, (0.2, 0.4), conditional=cond)(x, t)
    assert torch.equal(alone, cond(x, t)) and pair.calls == 1


def test_samplers_cannot_tell():
    x = torch.randn(2, 1, 4, 4)
    guided = classifier_free(Pair(), 2.0)
    mean = sample.run(sample.dpmpp_2m(guided, x, schedule.linear(20))).mean()
    assert mean > sample.run(sample.dpmpp_2m(cond, x, schedule.linear(20))).mean()


def test_a_wrong_interval_is_refused():
    with pytest.raises(ValueError, match="lo <= hi"):
        classifier_free(Pair(), 2.0, (0.8, 0.2))
