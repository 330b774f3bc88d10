"""Batches arrive in the order of training, whoever makes them."""

import engine_toys as toys
import pytest
import torch

from tranh.engine.source import in_order, on_device, workers_for


@pytest.mark.parametrize("workers", [0, 2])
def test_the_order_does_not_depend_on_who_makes_the_batches(workers):
    stage, source = toys.stage(steps=9, batch=3), toys.Source()
    before = torch.get_rng_state()
    made = list(in_order(source, stage, 4, workers))
    assert torch.equal(before, torch.get_rng_state())  # the training's own noise is not touched
    assert len(made) == 5
    for step, batch in enumerate(made, start=4):
        expected = source.batch(step, 3, stage.seed)
        assert torch.equal(batch.images, expected.images) and torch.equal(batch.ids, expected.ids)
        assert batch.captions == expected.captions


def test_what_goes_wrong_in_a_worker_is_heard():
    class Broken(toys.Source):
        def batch(self, step, size, seed):
            raise ValueError(f"batch {step} cannot be made")

    with pytest.raises(ValueError, match="batch 0 cannot be made"):
        next(in_order(Broken(), toys.stage(), 0, workers=1))


def test_a_cpu_makes_its_own_batches():
    cpu = torch.device("cpu")
    assert workers_for(cpu) == 0 and workers_for(torch.device("cuda")) >= 1
    batch = toys.make_batch(0, 2)
    assert on_device(batch, cpu) is batch
