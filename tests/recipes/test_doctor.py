"""Patients of the real families, small: each fault is injected where it would be made, and must be named alone."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tranh.engine import ema, find
from tranh.engine.doctor import before
from tranh.engine.frozen import attach, load
from tranh.engine.rundir import RunDir
from tranh.engine.train import train
from tranh.families.clip import Clip
from tranh.families.decoder import Decoder
from tranh.families.prior import Prior
from tranh.recipes.doctor import examine
from tranh.types import Batch, Stage, TranhError

SIDE = 16
COLOURS = ["red", "green", "blue", "yellow", "cyan", "purple", "white", "black"]
SHAPES = ["square", "ring", "bar", "pole"]
RGB = torch.tensor(
    [[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, -1], [-1, 1, 1], [0.4, -1, 0.4], [1, 1, 1], [-1, -1, -1]],
    dtype=torch.float32,
)
VOCAB, LENGTH = 20, 6
WORDS = b'{"words": 1}'


def draw(colour: Tensor, shape: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """(B,) each -> (B, 3, 16, 16): a shape on grey, about its middle (x, y)."""
    grid = torch.arange(SIDE)
    dx = (grid[None, None, :] - x[:, None, None]).abs()
    dy = (grid[None, :, None] - y[:, None, None]).abs()
    far = torch.maximum(dx, dy)
    masks = torch.stack([far <= 4, (far <= 4) & (far >= 3), (dy <= 1) & (dx <= 5), (dx <= 1) & (dy <= 5)])
    inside = masks[shape, torch.arange(len(shape))][:, None]  # (B, 1, S, S)
    return torch.where(inside, RGB[colour][:, :, None, None], torch.tensor(0.1))


class World:
    """A source. ``spoil(batch)`` is the injected fault, applied to every batch."""

    def __init__(self, spoil=lambda batch: batch, renumber: bool = False) -> None:
        self.spoil, self.renumber = spoil, renumber

    def make(self, seed: int, size: int) -> Batch:
        g = torch.Generator().manual_seed(seed)
        colour, shape = (torch.randint(0, n, (size,), generator=g) for n in (8, 4))
        x, y = (torch.randint(5, 11, (size,), generator=g) for _ in range(2))
        words = torch.stack([colour + 4, shape + 12], dim=1)
        if self.renumber:  # another tokenizer: the same words with other numbers
            words = (words - 4 + 5) % 12 + 4
        tokens = torch.zeros(size, LENGTH, dtype=torch.int64)
        tokens[:, 0], tokens[:, 1:3], tokens[:, 3] = 2, words, 1
        captions = [f"{COLOURS[c]} {SHAPES[s]}" for c, s in zip(colour.tolist(), shape.tolist(), strict=True)]
        ids = ((colour * 4 + shape) * 16 + x) * 16 + y
        mask = (torch.arange(LENGTH) < 4).expand(size, -1).clone()
        return self.spoil(Batch(draw(colour, shape, x, y), captions, tokens, mask, ids))

    def batch(self, step: int, size: int, seed: int) -> Batch:
        return self.make(1_000_003 * (seed + 1) + step, size)

    def validation(self, step: int, size: int) -> Batch:
        return self.make(17 + step, size)


COMMON = dict(batch=32, warmup=10, decay=0.3, precision="fp32", sample_every=10**6, save_every=10**6)
TOLD = dict(vocab=VOCAB, max_len=LENGTH)
STAGES = {
    "clip": Stage(
        "clip",
        model=TOLD | dict(image_size=SIDE, patch=4, dim=16, vision_width=32, vision_depth=2, vision_heads=2,
                          text_width=32, text_depth=1, text_heads=2),
        steps=120, **COMMON,
    ),
    "prior": Stage(
        "prior", model=TOLD | dict(clip_dim=16, dim=48, depth=2, heads=2), parents={"clip": "clip"}, steps=160, **COMMON
    ),
    "decoder": Stage(
        "decoder",
        model=TOLD | dict(clip_dim=16, text_dim=32, text_depth=1, text_heads=2, image_size=SIDE, patch_size=4,
                          hidden_size=64, depth=2, num_heads=2),
        parents={"clip": "clip"}, steps=300, **COMMON,
    ),
    "direct": Stage(
        "decoder",
        model=TOLD | dict(clip_dim=None, text_dim=32, text_depth=1, text_heads=2, image_size=SIDE, patch_size=4,
                          hidden_size=64, depth=2, num_heads=2),
        steps=200, **COMMON,
    ),
}  # fmt: skip


def trained(root, stage, source, *, name=None, kind=None, parents=None, assets=None):
    """Train a stage in ``root/name``."""
    run = RunDir(root / (name or stage.family))
    assets = {"tokenizer.json": WORDS} if assets is None else assets
    list(train(stage, find.build(stage, kind), source, run, name=name, parents=parents or {}, assets=assets))
    return run


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def hierarchy(tmp_path_factory):
    """A healthy CLIP, its prior, and a decoder that reads captions alone."""
    root, world = tmp_path_factory.mktemp("hierarchy"), World()
    trained(root, STAGES["clip"], world)
    trained(root, STAGES["prior"], world, parents={"clip": load(RunDir(root / "clip"))})
    trained(root, STAGES["direct"], world, name="direct")
    return root


def changed(name, **changes) -> Stage:
    return replace(STAGES[name], **changes)


def diagnosis(run, source=None, **options):
    *_, last = examine(run, source=source or World(), **options)
    return last.result


def faults(findings):
    return [f.name for f in findings if f.fault]


def checked(name, spoil=lambda b: b, family=None, parents=None, renumber=False, after=lambda b: b, **changes):
    """What `before` says of a stage whose source is spoiled."""
    stage, source, parents = changed(name, **changes), World(spoil, renumber), parents or {}
    family = family if family is not None else find.build(stage)
    batches = [after(attach(source.batch(k, stage.batch, stage.seed), parents)) for k in range(4)]
    return before(family, batches, stage, parents=parents)


def test_the_healthy_have_no_findings(hierarchy):
    found = diagnosis(hierarchy)
    assert [f for f in found.findings if not f.ok] == [] and not found.not_asked
    asked = {f.name for f in found.findings}
    assert {f.stage for f in found.findings} == {"clip", "prior", "direct"}
    assert {
        "pictures in range", "captions present", "parents are read", "embeddings are what they are called",
        "embeddings of unit length", "parent tells pairs apart", "nothing is frozen", "all parts are updated",
        "learning rate", "learns one batch", "captions reach the network", "all parts get a gradient",
        "steps are finite", "loss falls", "gradient norm", "weights are finite", "all parts moved", "weight averages",
        "captions belong to their pictures", "embeddings where pictures are", "time convention", "samples are pictures",
        "parents are the recorded ones", "one tokenizer",
    } == asked  # fmt: skip


def test_a_healthy_decoder_may_start(hierarchy):
    parents = {"clip": load(RunDir(hierarchy / "clip"))}
    assert [f for f in checked("decoder", parents=parents) if not f.ok] == []


@pytest.mark.parametrize(
    "spoil, expected",
    [
        (lambda b: b.replace(images=(b.images + 1) / 2), "pictures in range"),
        (lambda b: b.replace(images=(b.images + 1) * 127.5), "pictures in range"),
        (lambda b: b.replace(mask=torch.zeros_like(b.mask)), "captions present"),
        (lambda b: b.replace(tokens=torch.full_like(b.tokens, 3)), "captions present"),
    ],
)
def test_faults_of_the_data(spoil, expected):
    found = checked("direct", spoil)
    assert faults(found) == [expected]


def without_end(b):
    return b.replace(tokens=torch.where(b.tokens == 1, 0, b.tokens))


def test_clip_that_finds_no_end_of_text():
    assert faults(checked("clip", without_end)) == ["captions reach the network"]


class Deaf(Decoder):
    def context(self, tokens, mask, clip):
        context, seen = super().context(tokens, mask, clip)
        return 0 * context, seen


class Detached(Clip):
    def embed_texts(self, tokens, mask):
        x = self.text_model(tokens, mask).detach()
        return F.normalize(self.text_projection(x).float(), dim=-1)


def test_decoder_that_ignores_its_context():
    assert faults(checked("direct", family=Deaf(**STAGES["direct"].model))) == ["captions reach the network"]


def test_gradient_that_never_reaches_the_text_encoder():
    found = checked("clip", family=Detached(**STAGES["clip"].model))
    assert faults(found) == ["all parts get a gradient"]
    assert "text_model.embeddings.token_embedding.weight" in found[-1].seen


def test_frozen_text_encoder():
    family = find.build(STAGES["direct"])
    family.text.requires_grad_(False)
    assert faults(checked("direct", family=family)) == ["nothing is frozen"]


@pytest.mark.parametrize("name", ["clip", "direct"])
@pytest.mark.parametrize("factor, word", [(1000, "too high"), (0, "is 0")])
def test_learning_rates(name, factor, word):
    found = checked(name, lr=factor * 1e-3, muon_lr=factor * 2e-3)
    assert faults(found) == ["learning rate"]
    assert word in next(f.seen for f in found if f.fault)


def swapped(b):
    return b.replace(parts=dict(b.parts) | {"clip.image": b.parts["clip.text"]})


def of_before(b):
    """What a cache of captions' embeddings under the pictures' ids would give."""
    return b.replace(parts=dict(b.parts) | {"clip.text": b.parts["clip.text"].roll(3, 0)})


@pytest.mark.parametrize("after, word", [(swapped, "a text embedding is handed"), (of_before, "cache")])
def test_text_embedding_handed_as_image_embedding(hierarchy, after, word):
    parents = {"clip": load(RunDir(hierarchy / "clip"))}
    found = checked("decoder", parents=parents, after=after)
    assert faults(found) == ["embeddings are what they are called"]
    assert word in str(next(f for f in found if f.fault))
    assert after is of_before or faults(checked("decoder", after=lambda b: after(attach(b, parents)))) == faults(found)


def test_parent_numbers_words_otherwise(hierarchy):
    """At once by what the parent says of the pairs, and by the file when the run is examined."""
    parents = {"clip": load(RunDir(hierarchy / "clip"))}
    assert faults(checked("prior", parents=parents, renumber=True)) == ["parent tells pairs apart"]


def test_captions_shuffled_before_a_child_is_trained(hierarchy):
    def mixed(b):
        return b.replace(tokens=b.tokens.roll(5, 0), mask=b.mask.roll(5, 0))

    parents = {"clip": load(RunDir(hierarchy / "clip"))}
    assert faults(checked("decoder", mixed, parents=parents)) == ["parent tells pairs apart"]


def young(root, stage, source, **options):
    """A run, trained; what is logged must do."""
    return trained(root, stage, source, **options).path


def test_captions_shuffled_against_pictures(tmp_path):
    world = World(lambda b: b.replace(tokens=b.tokens.roll(5, 0), captions=b.captions[-5:] + b.captions[:-5]))
    run = young(tmp_path, changed("direct", steps=120), world)
    assert faults(diagnosis(run, world).findings) == ["captions belong to their pictures"]
    run = young(tmp_path, changed("clip", steps=120), world)
    assert faults(diagnosis(run, world).findings) == ["loss falls"]  # stuck at guessing


def test_nan_example_is_found_in_the_log(tmp_path):
    def spoil(b):
        images = b.images.clone()
        if int(b.ids[0]) % 8 == 0:
            images[1, 0, 3, 3] = float("nan")
        return b.replace(images=images)

    stage, run = changed("direct", steps=40), RunDir(tmp_path / "decoder")
    list(train(stage, find.build(stage), World(spoil), run, max_bad=9))
    found = diagnosis(run.path, World(spoil)).findings
    assert set(faults(found)) <= {"pictures in range", "steps are finite"} and faults(found)
    clean_start = World(lambda b: b)  # the first batches are good: only the log tells
    clean_start.batch = lambda step, size, seed: (World(spoil) if step > 3 else World()).batch(step, size, seed)
    (found,) = (f for f in diagnosis(run.path, clean_start).findings if not f.ok)
    assert found.name == "steps are finite" and "NaN" in found.seen and "ids [" in found.seen


def test_average_that_still_is_the_initialisation(tmp_path, monkeypatch):
    monkeypatch.setattr(ema, "beta_of", lambda t, gamma: 0.9999)
    run = young(tmp_path, changed("direct", steps=60), World())
    assert faults(diagnosis(run).findings) == ["weight averages"]


class Unrestored(Prior):
    def restore(self, x):
        return x


def test_prior_that_hands_out_standardised_features(hierarchy):
    found = diagnosis(hierarchy / "prior", kinds={"prior": Unrestored}).findings
    assert faults(found) == ["embeddings where pictures are"] and "length" in next(f.seen for f in found if f.fault)


class NotApplied(Prior):
    def sample(self, tokens, mask, text_embedding, noise, steps=None, guidance=2.0):
        return text_embedding


def test_prior_that_is_not_applied(hierarchy, monkeypatch):
    """Text embeddings of this small CLIP are near its pictures' (cosine 0.9): they must be told apart all the same."""
    found = diagnosis(hierarchy / "prior", kinds={"prior": NotApplied}).findings
    assert faults(found) == ["embeddings where pictures are"]
    assert "prior is not applied" in next(f.seen for f in found if f.fault)


def test_another_tokenizer_or_another_parent(hierarchy, tmp_path):
    world, parents = World(), {"clip": load(RunDir(hierarchy / "clip"))}
    stage = changed("prior", steps=3)
    run = trained(hierarchy, stage, world, name="other", parents=parents, assets={"tokenizer.json": b"{}"})
    try:
        assert faults(diagnosis(run.path).findings) == ["one tokenizer"]
        (run.path / "tokenizer.json").write_bytes(WORDS)
        recipe = json.loads(run.recipe_file.read_text())
        run.recipe_file.write_text(json.dumps(recipe | {"parents": {"clip": "0" * 64}}))
        found = diagnosis(run.path)
        assert faults(found.findings) == ["parents are the recorded ones"]
        assert found.not_asked == ("first steps, log, weights, behaviour: mend what was found first",)
    finally:
        shutil.rmtree(run.path)


def test_a_young_run_has_no_fault(tmp_path):
    """Stopped early: nothing is said that more training would mend."""
    stage, run = changed("direct", save_every=20), RunDir(tmp_path / "direct")
    events = train(stage, find.build(stage), World(), run, assets={"tokenizer.json": WORDS})
    for event in events:
        if event.done == 25:
            break
    events.close()
    found = diagnosis(run.path)
    assert faults(found.findings) == [] and not run.finished


def test_weights_of_another_network(tmp_path):
    run = young(tmp_path, changed("direct", steps=2), World())
    recipe = json.loads((run / "recipe.json").read_text())
    recipe["stage"]["model"]["hidden_size"] = 32
    (run / "recipe.json").write_text(json.dumps(recipe))
    assert faults(diagnosis(run).findings) == ["weights fit the network"]


def test_no_run(tmp_path):
    with pytest.raises(TranhError, match="is no run"):
        list(examine(tmp_path))
