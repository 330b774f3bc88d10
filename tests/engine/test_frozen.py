import engine_toys as toys
import pytest
import torch

from tranh.engine import find
from tranh.engine.frozen import TILE, Frozen, attach, load, select
from tranh.engine.rundir import RunDir
from tranh.engine.train import train
from tranh.types import TranhError


def frozen(cache_bytes=2**20, kind=toys.Toy):
    result = Frozen(find.build(toys.stage(), kind), "hash", cache_bytes=cache_bytes)
    result.settle(toys.Shelf().validation(0, TILE))
    return result


@pytest.mark.parametrize("cache_bytes", [2**20, 17 * 4 * 10, 17 * 4 * 3, 10])  # all, ten rows, three rows, nothing
def test_cached_equals_uncached(cache_bytes):
    shelf, cached, plain = toys.Shelf(), frozen(cache_bytes), frozen(0)
    for step in range(30):
        batch = shelf.batch(step, 12, 0)
        a, b = cached.outputs(batch), plain.outputs(batch)
        assert a.keys() == b.keys() == {"words", "hidden", "brightness"}
        assert all(torch.equal(a[k], b[k]) for k in a)
        assert torch.equal(a["brightness"], batch.images.mean((1, 2, 3)))
        assert torch.equal(a["words"], batch.tokens.float().mean(1))
    assert not plain._slots and len(cached._slots) == min(40, cache_bytes // 68)


def test_cached_examples_are_not_computed_again():
    parent, calls = frozen(), []
    inner = parent.family.image_outputs
    parent.family.image_outputs = lambda images: calls.append(len(images)) or inner(images)
    for step in range(20):
        parent.outputs(toys.Shelf().batch(step, 12, 0))
    before = len(calls)
    for step in range(20):
        parent.outputs(toys.Shelf().batch(step, 12, 0))
    assert len(calls) == before and set(calls) == {TILE}


def test_rows_that_depend_on_their_tile_are_computed_alone():
    class Crowded(toys.Toy):
        def image_outputs(self, images):
            return {"mean": images.mean((1, 2, 3)) - images.mean()}

    assert frozen().tile == TILE and frozen(kind=Crowded).tile == 1
    assert frozen(kind=Crowded).outputs(toys.make_batch(0, 5))["mean"].abs().max() < 1e-6


def test_attached_with_names_and_without_gradients(tmp_path):
    run, stage = RunDir(tmp_path), toys.stage(steps=2)
    list(train(stage, find.build(stage, toys.Toy), toys.Source(), run))
    parent = load(run, toys.Toy)
    assert parent.hash == run.hash() and not parent.family.training
    batch = attach(toys.make_batch(0, 5), {"toy": parent, "again": parent})
    assert set(batch.parts) == {
        f"{name}.{key}" for name in ("toy", "again") for key in ("words", "hidden", "brightness")
    }
    assert batch.parts["toy.hidden"].shape == (5, 16) and batch.parts["toy.hidden"].dtype == torch.float32
    assert not any(v.requires_grad for v in batch.parts.values())


def test_unfinished_parent_is_refused(tmp_path):
    events = train(toys.stage(), find.build(toys.stage(), toys.Toy), toys.Source(), RunDir(tmp_path))
    next(events)
    events.close()
    with pytest.raises(TranhError, match="not finished"):
        load(RunDir(tmp_path), toys.Toy)


def test_output_without_rows_is_named():
    class Odd(toys.Toy):
        def outputs(self, batch):
            return {"scale": torch.ones(())}

    with pytest.raises(TranhError, match="'scale' of shape"):
        Frozen(Odd(), "hash").outputs(toys.make_batch(0, 3))


def test_select_keeps_what_is_not_by_example():
    batch = toys.make_batch(0, 4).replace(labels={"by": torch.arange(4), "all": torch.ones(2)})
    picked = select(batch, [2, 2, 0])
    assert picked.labels["by"].tolist() == [2, 2, 0] and picked.labels["all"].tolist() == [1, 1]
    assert len(picked.captions) == len(picked) == 3


def test_a_new_caption_of_a_known_picture_is_read():
    parent, batch = frozen(), toys.Shelf().batch(0, 6, 0)
    first = parent.outputs(batch)
    again = parent.outputs(batch.replace(tokens=batch.tokens + 1))
    assert torch.equal(first["hidden"], again["hidden"]) and torch.allclose(first["words"] + 1, again["words"])
