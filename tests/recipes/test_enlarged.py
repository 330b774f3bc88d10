"""Pictures of another size than is judged."""

import torch

from tranh.nn.pixels import resized
from tranh.recipes.enlarged import Enlarged


class Small:
    """Draws 8 px and nothing else; remembers what it was asked."""

    size, sizes, parts, hash, name, memory = 8, (8,), {}, "abc", "small", None

    def generate_batch(self, prompts, seeds, size=None, steps=None, guidance=None, **chosen):
        self.asked = (size, steps, guidance, chosen)
        return torch.stack([torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(s)) for s in seeds])


def test_it_draws_at_its_own_size_and_is_judged_at_another():
    small = Small()
    system = Enlarged(small, 32)
    images = system.generate_batch(["a"] * 2, [4, 5], 32, 7, 2.0, prior="none")
    assert small.asked == (8, 7, 2.0, {"prior": "none"}) and system.own == 8
    torch.testing.assert_close(images, resized(small.generate_batch(["a"] * 2, [4, 5]), 32))


def test_a_size_it_draws_is_asked_for_as_it_is():
    small = Small()
    small.sizes = (8, 16)
    assert Enlarged(small, 16).own == 16
