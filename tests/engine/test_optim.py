import engine_toys as toys
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tranh.engine import find
from tranh.engine.optim import Optimizers, rate
from tranh.files import read_tensors, write_tensors
from tranh.types import Family, ParamGroup, Stage, TranhError


def test_rate_by_hand():
    assert [rate(s, 10, 2, 0.4) for s in range(10)] == pytest.approx([0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25])
    assert rate(10, 10, 2, 0.4) == 0.0
    assert rate(0, 10, 0, 0.0) == rate(9, 10, 0, 0.0) == 1.0


@given(st.integers(1, 10_000), st.integers(0, 100), st.floats(0, 1))
def test_rate_rises_then_falls(steps, warmup, decay):
    values = [rate(s, steps, warmup, decay) for s in range(0, steps + 1, max(1, steps // 50))]
    assert all(0 <= v <= 1 for v in values)
    top = values.index(max(values))
    assert values[: top + 1] == sorted(values[: top + 1])
    assert values[top:] == sorted(values[top:], reverse=True)


def grads(family, seed):
    g = torch.Generator().manual_seed(seed)
    for p in family.parameters():
        p.grad = torch.randn(p.shape, generator=g)


def test_state_survives_the_disk(tmp_path):
    stage = toys.stage()
    a, b = find.build(stage, toys.Toy), find.build(stage, toys.Toy)
    first, second = Optimizers(a, "train", stage), Optimizers(b, "train", stage)
    for k in range(3):
        grads(a, k)
        first.step()
    write_tensors(tmp_path / "o.safetensors", first.tensors())
    b.load_state_dict(a.state_dict())
    second.load(read_tensors(tmp_path / "o.safetensors"))
    assert {k.split("/")[0] for k in first.tensors()} == {"adamw", "muon"}
    for k in range(3, 6):
        for family, optimizers in ((a, first), (b, second)):
            grads(family, k)
            optimizers.set_rate(0.5)
            optimizers.step()
        assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert all(torch.equal(v, second.tensors()[k]) for k, v in first.tensors().items())


def test_foreign_state_is_refused():
    optimizers = Optimizers(toys.Toy(), "train", toys.stage())
    with pytest.raises(TranhError, match="adamw/other.weight/exp_avg"):
        optimizers.load({"adamw/other.weight/exp_avg": torch.zeros(2)})


def test_adamw_first_step_is_signed_rate():
    family = toys.Toy()
    optimizers = Optimizers(family, "train", toys.stage(lr=1e-2))
    before = family.first.weight.detach().clone()
    grads(family, 0)
    optimizers.set_rate(0.5)
    optimizers.step()  # group: lr_scale 0.5, no weight decay; Adam's first update is the gradient's sign
    expected = before - 1e-2 * 0.5 * 0.5 * family.first.weight.grad.sign()
    assert torch.allclose(family.first.weight, expected, atol=1e-6)


def test_muon_update_is_near_orthogonal_of_adamw_size():
    family = toys.Toy(width=64)
    optimizers = Optimizers(family, "train", toys.stage(muon_lr=1e-2))
    before = family.middle.weight.detach().clone()
    grads(family, 0)
    optimizers.set_rate(1.0)
    optimizers.step()
    update = before * (1 - 1e-2 * 0.01) - family.middle.weight.detach()
    singular = torch.linalg.svdvals(update) / (1e-2 * 0.2 * 64**0.5)
    assert singular[-4] > 0.4 and singular[0] < 1.4  # Newton-Schulz leaves the very smallest behind
    assert 0.1e-2 < update.square().mean().sqrt() < 0.3e-2


@pytest.mark.parametrize(
    ("groups", "word"),
    [
        (lambda f: [ParamGroup([f.first.bias], "muon")], "first.bias of Toy has shape"),
        (lambda f: [ParamGroup([f.first.bias, f.first.bias])], "twice"),
        (lambda f: [], "updates nothing"),
        (lambda f: [ParamGroup([f.first.bias], "sgd")], "'sgd' is unknown"),
    ],
)
def test_impossible_groups_are_named(groups, word):
    family = toys.Toy()
    family.param_groups = lambda phase: groups(family)
    with pytest.raises(TranhError, match=word):
        Optimizers(family, "train", toys.stage())


def test_a_group_says_its_momenta():
    class Rivals(Family):
        def __init__(self):
            super().__init__()
            self.config, self.a, self.b = {}, torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))

        def param_groups(self, phase):
            return [ParamGroup([self.a]), ParamGroup([self.b], betas=(0.5, 0.99))]

    groups = Optimizers(Rivals(), "train", Stage("rivals")).by_name["adamw"].param_groups
    assert [group["betas"] for group in groups] == [(0.9, 0.95), (0.5, 0.99)]
