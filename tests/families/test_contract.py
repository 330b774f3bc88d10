"""What every family must be able to do, over every file found. Each one's test module shows it.

``toy()`` gives a small one and a batch it can learn, having met whatever it stands on; ``LEARNS``, where there is one,
says how: steps and learning rates.
"""

import importlib.util
import threading
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import pytest
import torch

from tranh.engine import find
from tranh.engine.contract import overfit_one_batch, same_after_saving
from tranh.engine.doctor import before
from tranh.engine.doors import Doors, Guest
from tranh.nn.packed import padded
from tranh.recipes.served import shared_by
from tranh.types import Autoencodes, Draws, Embeds, Family, Stage, capabilities

NAMES = find.families()


@cache
def module(name):
    """The test module of a family, by its path: another folder may have one of the same name."""
    spec = importlib.util.spec_from_file_location(f"contract_of_{name}", Path(__file__).parent / f"test_{name}.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def toy(name):
    family, batch = module(name).toy()
    assert type(family) is find.family(name)
    return family, batch


def picture(family, batch, rows, seeds):
    """The pictures of some captions."""
    *_, last = family.draw(batch.tokens[rows], batch.mask[rows], seeds, steps=3)
    return last.x


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_one_batch_by_heart_by_its_own_figure(name):
    family, batch = toy(name)
    figures = overfit_one_batch(family, batch, **getattr(module(name), "LEARNS", {"steps": 100}))
    assert figures[-1] < family.overfit_below * figures[0], figures[::10]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "subject"])
def test_the_doctor_lets_it_start(name):
    """Parents of toys have learned nothing, so what the doctor says of parents does not count. Left out is a subject,
    whose words are its base's: of it nothing more is asked."""
    family, batch = toy(name)
    batch = batch.replace(captions=[f"thing {k}" for k in range(len(batch))])  # what it reads are the tokens
    if not batch.images.any():
        batch = batch.replace(images=torch.rand_like(batch.images) * 2 - 1)  # it looks at none
    how = {k: v for k, v in getattr(module(name), "LEARNS", {}).items() if k != "steps"}
    stage = Stage(name, batch=len(batch), precision="fp32", **({"lr": 1e-3} | how))
    found = before(family, [batch] * 2, stage, steps=8)
    assert len(found) > 5
    assert [str(one) for one in found if one.fault and not one.name.startswith("parent")] == []


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_same_after_saving(name, tmp_path):
    family, batch = toy(name)
    same_after_saving(family, batch, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_what_it_claims_it_can_do(name):
    family, batch = toy(name)
    family.eval()
    B, S = len(batch), batch.images.shape[-1]
    with torch.no_grad():
        if isinstance(family, Draws):
            steps = list(family.draw(batch.tokens, batch.mask, range(B), steps=3))
            assert [s.index for s in steps] == list(range(1, len(steps) + 1)) and steps[-1].index == steps[-1].steps
            assert steps[-1].x.shape == (B, 3, *[family.config["image_size"]] * 2)
            assert steps[-1].x.isfinite().all() and steps[-1].x.abs().max() <= 1
        if isinstance(family, Autoencodes):
            assert family.decode(family.encode(batch.images)).shape == (B, 3, S, S)
        if isinstance(family, Embeds):
            for rows in (family.embed_images(batch.images), family.embed_texts(batch.tokens, batch.mask)):
                torch.testing.assert_close(rows.norm(dim=-1), torch.ones(B))


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_that_of_its_seed_alone_and_in_a_batch(name):
    family, batch = toy(name)
    if not isinstance(family, Draws):
        return
    family.eval()
    with torch.no_grad():
        together = picture(family, batch, [0, 1, 2, 0], [5, 6, 7, 8])
        assert torch.equal(together, picture(family, batch, [0, 1, 2, 0], [5, 6, 7, 8]))
        for row, (caption, seed) in enumerate(((0, 5), (1, 6), (2, 7), (0, 8))):
            alone = picture(family, batch, [caption], [seed])
            torch.testing.assert_close(together[row], alone[0], atol=2e-4, rtol=0)
        assert not torch.equal(together[0], together[3])


def drawn_at_once(family, batch, tile, asked):
    """Pictures of (caption, seed, steps), each drawn by a guest of its own; calls, and how many they answered."""
    doors = Doors(rows=16, patience=0.05, tile=tile)
    for owner, method in shared_by(family):
        doors.put(owner, method, within=padded if tile else nullcontext)
    for met in family.met.values():
        for owner, method in shared_by(met):
            doors.put(owner, method, within=padded if tile else nullcontext)
    out = [None] * len(asked)

    def one(k, caption, seed, steps):
        with doors.inside(Guest()), torch.no_grad():
            *_, last = family.draw(batch.tokens[[caption]], batch.mask[[caption]], [seed], steps=steps)
            out[k] = last.x[0]

    threads = [threading.Thread(target=one, args=(k, *each)) for k, each in enumerate(asked)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        doors.close()
    return out, doors.calls, doors.answered


@pytest.mark.parametrize("name", NAMES)
def test_many_share_its_networks_and_each_gets_what_it_gets_alone(name):
    family, batch = toy(name)
    if not isinstance(family, Draws):
        return
    family.eval()
    asked = [(0, 5, 2), (1, 6, 3), (2, 7, 1)]
    together, calls, answered = drawn_at_once(family, batch, None, asked)
    assert calls < answered and answered >= len(asked)
    with torch.no_grad():
        for (caption, seed, steps), x in zip(asked, together, strict=True):
            *_, last = family.draw(batch.tokens[[caption]], batch.mask[[caption]], [seed], steps=steps)
            torch.testing.assert_close(x, last.x[0], atol=2e-4, rtol=0)
    exact, _, _ = drawn_at_once(family, batch, 2, asked[1:])
    assert torch.equal(drawn_at_once(family, batch, 2, asked[2:])[0][0], exact[1])


@pytest.mark.parametrize("name", NAMES)
def test_its_config_is_of_json_values_and_builds_it_again(name):
    import json

    family, _ = toy(name)
    assert json.loads(json.dumps(family.config)) == family.config
    again = type(family)(**family.config)
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in family.state_dict().items()}
    assert capabilities(again) == capabilities(family) and isinstance(family, Family)
