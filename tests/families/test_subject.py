"""A subject beside a frozen base: contract, and the base left as it was."""

import torch
from torch import nn

from tranh.families.subject import Subject
from tranh.nn.lora import linear_layers
from tranh.types import Batch, Family, Phase


class Base(Family):
    """Draws the mean of its words through one layer."""

    def __init__(self):
        super().__init__()
        self.config = {}
        self.words = nn.Embedding(10, 8)
        self.drawer = nn.Sequential(nn.Linear(8, 32), nn.SiLU(), nn.Linear(32, 3 * 16))

    def forward(self, batch, phase):
        drawn = self.drawer(self.words(batch.tokens).mean(1)).view(-1, 3, 4, 4)
        return {"loss": (drawn - batch.images).square().mean()}


def batch(own):
    """Six captions of the base's words; ``own`` of them name the subject, tokens 10 and 11."""
    g = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 10, (6, 5), generator=g)
    tokens[:own, :2] = torch.tensor([10, 11])
    images = torch.rand(6, 3, 4, 4, generator=g) * 2 - 1
    return Batch(images, [""] * 6, tokens, torch.ones_like(tokens, dtype=torch.bool), torch.arange(6))


def toy():
    """For the contract."""
    torch.manual_seed(0)
    base = Base().requires_grad_(False)
    layers = linear_layers(base.drawer, ("0", "2"))
    family = Subject(network="drawer", layers=layers, embedding="words", vocab=10, dim=8, vectors=2, rank=6, alpha=6)
    family.meet({"base": base})
    return family, batch(4)


LEARNS = {"steps": 200, "lr": 2e-2}


def test_the_base_stays_as_it_is_and_only_what_is_learned_is_saved():
    family, b = toy()
    base, phase = family.met["base"], Phase("train", 0, 1, torch.Generator())
    before = {k: v.clone() for k, v in base.state_dict().items()}
    family(b, phase)["loss"].backward()
    assert family.vectors.grad.abs().min() > 0 and family.lora.B[0].grad.abs().max() > 0
    assert all(p.grad is None for p in base.parameters())
    assert all(torch.equal(before[k], v) for k, v in base.state_dict().items())
    assert {name.split(".")[0] for name in family.state_dict()} == {"vectors", "lora"}


def test_at_first_words_of_the_base_mean_what_they_did():
    family, phase = toy()[0], Phase("train", 0, 1, torch.Generator())
    plain = batch(0)
    assert torch.equal(family(plain, phase)["loss"], family.met["base"](plain, phase)["loss"])


def test_vector_k_is_token_vocab_plus_k():
    family, _ = toy()
    base = family.met["base"]
    with family.worn(base):
        rows = base.words(torch.tensor([[3, 11, 10]]))
    assert torch.equal(rows[0], torch.stack([base.words.weight[3], family.vectors[1], family.vectors[0]]))
