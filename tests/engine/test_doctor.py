"""The doctor's checks on tensors, logs and toy families. Its patients of the real families are in tests/recipes."""

import json
import logging
import math
from dataclasses import replace

import engine_toys as toys
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tranh.engine import checkpoint, find
from tranh.engine.doctor import Diagnosis, Finding, before, behaviour, during, lineage, refuse, watch, weights
from tranh.engine.doctor import batches as data
from tranh.engine.doctor.course import chance
from tranh.engine.rundir import RunDir
from tranh.engine.train import train
from tranh.files import read_json
from tranh.types import Batch, Event, Family, Stage, TranhError


class Reader(Family):
    """Draws a flat picture of the caption's colour: the smallest family that needs its captions."""

    def __init__(self, vocab: int = 12, deaf: bool = False, detached: bool = False, constant: bool = False) -> None:
        super().__init__()
        self.config = dict(vocab=vocab, deaf=deaf, detached=detached, constant=constant)
        self.deaf, self.detached, self.constant = deaf, detached, constant
        self.words = nn.Embedding(vocab, 32)
        self.out = nn.Linear(32, 3)

    def forward(self, batch, phase):
        h = (self.words(batch.tokens) * batch.mask[..., None]).sum(1)  # (B, 32)
        h = h.detach() if self.detached else 0 * h if self.deaf else h
        x = self.out(h)[:, :, None, None].expand_as(batch.images)
        loss = F.mse_loss(x, batch.images)
        return {"loss": loss.detach() + 0 * self.out.bias.sum() if self.constant else loss}


def batch(size=16, seed=0):
    g = torch.Generator().manual_seed(seed)
    word = torch.randint(2, 12, (size,), generator=g)
    tint = torch.linspace(-1, 1, 12)
    colour = torch.stack([tint[word], tint[(word * 5) % 12], tint[(word * 7) % 12]], dim=1)
    images = (colour[:, :, None, None] + 0.1 * torch.randn(size, 3, 8, 8, generator=g)).clamp(-1, 1)
    tokens = torch.stack([torch.ones_like(word), word, torch.zeros_like(word)], dim=1)
    mask = torch.tensor([True, True, False]).expand(size, 3).clone()
    return Batch(images, [f"colour {int(w)}" for w in word], tokens, mask, torch.arange(size) + 100 * seed)


STAGE = Stage("reader", batch=16, steps=400, warmup=5, precision="fp32", lr=3e-2)


def faults(findings):
    return [f.name for f in findings if f.fault]


def unwell(findings):
    return [f.name for f in findings if not f.ok]


def examined(stage=STAGE, change=lambda b: b, steps=24, **options):
    family = find.build(Stage("reader", model=options), Reader)
    return before(family, [change(batch(seed=k)) for k in range(3)], stage, steps=steps)


@pytest.mark.parametrize("steps", [24, 120])
def test_a_healthy_family_has_no_findings(steps):
    found = examined(steps=steps)
    assert unwell(found) == [] and {"learning rate", "learns one batch", "captions reach the network"} <= {
        f.name for f in found
    }
    refuse(found)


def nan_example(b):
    images = b.images.clone()
    images[3, 0, 2, 2] = float("nan")
    return b.replace(images=images)


SPOILED = {
    "zero to one": (lambda b: b.replace(images=(b.images + 1) / 2), "pictures in range", "[0, 1]"),
    "zero to 255": (lambda b: b.replace(images=(b.images + 1) * 127.5), "pictures in range", "[0, 255]"),
    "imagenet": (lambda b: b.replace(images=b.images * 2.5), "pictures in range", "expected [-1, 1]"),
    "scaled twice": (lambda b: b.replace(images=b.images / 127.5), "pictures in range", "show nothing"),
    "bytes": (lambda b: b.replace(images=b.images.to(torch.uint8)), "pictures in range", "uint8"),
    "one picture": (lambda b: b.replace(images=b.images[:1].expand_as(b.images)), "pictures in range", "same picture"),
    "nan": (nan_example, "pictures in range", "NaN"),
    "empty mask": (lambda b: b.replace(mask=torch.zeros_like(b.mask)), "captions present", "mask of 16 of 16"),
    "all null": (lambda b: b.replace(tokens=torch.full_like(b.tokens, 3)), "captions present", "tokens are the same"),
    "other vocabulary": (lambda b: b.replace(tokens=b.tokens + 50), "captions present", "knows 0 to 11"),
    "no captions": (lambda b: b.replace(captions=[""] * len(b)), "captions present", "are empty"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_fault_of_the_data_is_named_alone(name):
    change, expected, word = SPOILED[name]
    found = examined(change=change)
    assert faults(found) == [expected] == unwell(found)
    assert word in found[-1].seen or any(word in f.seen for f in found), found
    with pytest.raises(TranhError, match="refuses to start") as refused:
        refuse(found)
    assert expected in str(refused.value)


def test_the_spoiled_example_is_named():
    found = examined(change=nan_example)
    assert "[203]" in next(f.seen for f in found if not f.ok)


@pytest.mark.parametrize(
    "options, expected",
    [
        (dict(deaf=True), "captions reach the network"),
        (dict(detached=True), "all parts get a gradient"),
        (dict(constant=True), "learns one batch"),
    ],
)
def test_a_fault_of_the_network_is_named_alone(options, expected):
    assert faults(examined(**options)) == [expected]


@pytest.mark.parametrize("lr, word", [(30.0, "too high"), (0.0, "is 0"), (1e-7, "very low")])
def test_a_wrong_learning_rate_is_named_alone(lr, word):
    found = examined(stage=Stage("reader", batch=16, steps=400, precision="fp32", lr=lr))
    assert (unwell(found) == ["learning rate"] and word in found[-1].seen) or any(word in f.seen for f in found)
    assert (lr == 1e-7) == (faults(found) == [])


def test_frozen_and_forgotten_parts():
    family = find.build(STAGE, Reader)
    family.words.weight.requires_grad_(False)
    assert faults(before(family, [batch()], STAGE)) == ["nothing is frozen"]

    class Forgets(Reader):
        def param_groups(self, phase):
            return [toys.ParamGroup(list(self.out.parameters()))]

    assert faults(before(find.build(STAGE, Forgets), [batch()], STAGE)) == ["all parts are updated"]


def test_a_missing_parent_is_named():
    class Stands(Reader):
        parents = ("clip",)

    assert faults(before(find.build(STAGE, Stands), [batch()], STAGE)) == ["parents are read"]


def test_the_family_and_the_random_state_are_left_alone():
    family, state = find.build(STAGE, Reader), torch.get_rng_state()
    kept = {k: v.clone() for k, v in family.state_dict().items()}
    before(family, [batch()], STAGE)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(v, kept[k]) for k, v in family.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in family.parameters())


def test_families_without_captions_or_with_phases():
    def b(k):
        made = toys.make_batch(k, 8)
        return made.replace(captions=[f"caption {i}" for i in range(8)])

    batches = [b(k) for k in range(3)]
    for seed in range(4):
        stage = toys.stage(precision="fp32", seed=seed)
        assert unwell(before(find.build(stage, toys.Toy), batches, stage)) == []
        for lr in (1e-3, 3e-2):  # a GAN's short trial says nothing for sure
            assert faults(before(find.build(stage, toys.Duel), batches, replace(stage, lr=lr))) == []


def embedded(size=64, gap=0.6, seed=0):
    g = torch.Generator().manual_seed(seed)
    what = torch.randn(size, 16, generator=g)
    away = F.normalize(torch.ones(16), dim=0)
    image, text = (F.normalize(F.normalize(what, dim=-1) + s * gap * away, dim=-1) for s in (1, -1))
    return image, text


def with_parts(image, text):
    return batch(len(image)).replace(parts={"clip.image": image, "clip.text": text})


def test_embeddings_of_parents():
    image, text = embedded()
    assert unwell(data.embeddings(with_parts(image, text))) == []
    assert faults(data.embeddings(with_parts(text, text))) == ["embeddings are what they are called"]
    assert faults(data.embeddings(with_parts(9 * image, text))) == ["embeddings of unit length"]
    assert faults(data.embeddings(with_parts(image, text.roll(7, 0)))) == ["parent tells pairs apart"]


def test_what_a_prior_makes():
    known, _ = embedded(256, seed=1)
    held, _ = embedded(64, seed=2)
    made, text = embedded(64, seed=3)
    assert behaviour.manifold(made, known, held, text).ok
    for wrong, word in [
        (text, "prior is not applied"),
        (12 * made, "length is 12"),
        (made.mean(0, keepdim=True) + 1e-3 * made, "length is"),
        (F.normalize(made.mean(0, keepdim=True) + 1e-3 * made, dim=-1), "nearly the same"),
        (-made, "where no picture does"),
        (made * float("nan"), "NaN"),
    ]:
        found = behaviour.manifold(wrong, known, held, text)
        assert found.fault and word in found.seen, (word, found)


def test_denoiser_and_samples():
    images = batch(16).images
    mean = images.mean(0)

    def good(x, t):  # a Gaussian's
        t = t[:, None, None, None]
        return mean + (1 - t) * 0.3 / ((1 - t) ** 2 * 0.3 + t**2 + 1e-6) * (x - (1 - t) * mean)

    assert behaviour.times(behaviour.errors_by_time(good, images)).ok
    turned = behaviour.times(behaviour.errors_by_time(lambda x, t: good(x, 1 - t) * t.view(-1, 1, 1, 1) ** 2, images))
    assert not turned.ok
    reversed_ = behaviour.times([0.9, 0.8, 0.5, 0.2, 0.1])
    assert reversed_.fault and "other way" in reversed_.remedy
    assert behaviour.samples(images.roll(1, 0), images).ok
    g = torch.Generator().manual_seed(0)
    smooth = F.interpolate(torch.rand(16, 3, 2, 2, generator=g) * 2 - 1, size=32, mode="bilinear")
    assert behaviour.samples(smooth, smooth).ok
    for wrong, word in [
        (torch.randn_like(smooth), "noise"),
        (torch.zeros_like(smooth), "empty"),
        (smooth[:1].expand_as(smooth), "same picture"),
    ]:
        assert word in behaviour.samples(wrong, smooth).seen
    assert not behaviour.samples(torch.randn_like(smooth), smooth, finished=False).sure


def curve(values, **more):
    return [{"step": i, "loss": v, "grad_norm": 1.0, "lr": 1e-3, **more} for i, v in enumerate(values)]


LONG = Stage("reader", steps=400, warmup=20, batch=64)
LOGS = {
    "diverges": (curve([1 + 0.02 * i for i in range(200)]), "learning rate"),
    "rate 0": (curve([1.0] * 200, lr=0.0), "learning rate"),
    "stuck": (curve([1.0 + 0.001 * (i % 3) for i in range(200)]), "loss falls"),
    "vanished": (
        [x | {"grad_norm": 1.0 if i < 60 else 1e-12} for i, x in enumerate(curve([1 / (1 + i) for i in range(200)]))],
        "gradient norm",
    ),
    "undone": (
        [x | ({"undone": True, "loss": "nan", "ids": [i, 7]} if i % 20 == 3 else {})
         for i, x in enumerate(curve([1 / (1 + 0.1 * i) for i in range(200)]))],
        "steps are finite",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOGS)
def test_a_log_tells(name):
    lines, expected = LOGS[name]
    found = during(lines, LONG)
    assert faults(found) == [expected] == unwell(found)
    if name == "undone":
        assert "examples [7]" in found[0].seen


def test_a_healthy_log_and_a_young_one():
    noisy = [1 / (1 + 0.05 * i) * (1 + 0.3 * math.sin(i)) for i in range(200)]
    assert unwell(during(curve(noisy), LONG)) == []
    assert unwell(during(curve([1.0] * 20), LONG)) == [] == during([], LONG)
    late = during(curve([1.0] * 70), LONG)
    assert unwell(late) == ["loss falls"] and faults(late) == []  # too early to be sure
    one = [x | ({"undone": True, "loss": "nan"} if i == 5 else {}) for i, x in enumerate(curve(noisy))]
    assert unwell(during(one, LONG)) == ["steps are finite"] and faults(during(one, LONG)) == []


def test_contrastive_loss_stuck_at_chance():
    class Contrastive(Family):
        def embed_images(self, images): ...

        def embed_texts(self, tokens, mask): ...

    known = chance(Contrastive(), LONG)
    assert known == pytest.approx(math.log(64)) and chance(Reader(), LONG) is None
    lines = curve([6.0] * 5 + [4.16] * 195)  # falls at first, to what guessing costs
    assert faults(during(lines, LONG, Contrastive())) == ["loss falls"] and faults(during(lines, LONG)) == []


def test_weights():
    first = {"a": torch.randn(8, 8), "b": torch.zeros(3)}
    now = {k: v + 1 for k, v in first.items()}
    assert weights.finite(now).ok and weights.moved(now, first).ok
    assert weights.finite({**now, "b": torch.tensor([float("inf")])}).fault
    assert weights.moved({**now, "a": first["a"]}, first).fault
    tracks = {"0.050": {k: v + 0.9 for k, v in first.items()}, "0.150": {k: v + 0.01 for k, v in first.items()}}
    cold = weights.averages(now, first, tracks)
    assert cold is not None and cold.fault and "0.150" in cold.seen.split(":")[0]
    assert weights.averages(now, first, {"0.050": tracks["0.050"]}).ok and weights.averages(now, first, {}) is None
    assert weights.scores({"raw": 1.0, "0.050": 0.9}, "0.050").ok
    assert weights.scores({"raw": 1.0, "0.050": 3.0}, "0.050").fault
    assert not weights.scores({"raw": 1.0, "0.050": 3.0}, "raw").ok


def test_parents_by_hash_and_tokenizer(tmp_path):
    stage = toys.stage(steps=2, precision="fp32")
    run = RunDir(tmp_path / "toy")
    list(train(stage, find.build(stage, toys.Toy), toys.Source(), run, assets={"tokenizer.json": b"{}"}))
    assert lineage.parents_agree({"toy": run.hash()}, {"toy": run}).ok
    assert lineage.parents_agree({"toy": "0" * 64}, {"toy": run}).fault
    assert lineage.parents_agree({"toy": run.hash()}, {}).fault
    assert lineage.parents_agree({"toy": run.hash()}, {"toy": RunDir(tmp_path / "gone")}).fault
    assert lineage.parents_agree({}, {}) is None
    assert lineage.one_tokenizer(b"{}", {"toy": run}).ok and lineage.one_tokenizer(b"{1}", {"toy": run}).fault
    assert lineage.one_tokenizer(None, {"toy": run}) is None


def test_watching_warns_once_and_keeps_what_it_found(tmp_path, caplog):
    run = RunDir(tmp_path)
    stage = Stage("reader", steps=200, warmup=5)

    def events():
        with run.log.open("w") as file:
            for line in curve([1.0] * 200):
                file.write(json.dumps(line) + "\n")
                file.flush()
                yield Event("reader", line["step"] + 1, 200, {"loss": line["loss"]})

    with caplog.at_level(logging.WARNING, "tranh.doctor"):
        assert len(list(watch(events(), run, stage, every=20))) == 200
    said = [r.message for r in caplog.records]
    assert len(said) == 1 and "loss falls" in said[0] and said[0].startswith("step 60")
    kept = read_json(run.path / "doctor.json")
    assert kept["step"] == 200 and [f["name"] for f in kept["findings"] if not f["ok"]] == ["loss falls"]


def test_watching_looks_at_the_network_ever_less_often(tmp_path, caplog):
    run, asked = RunDir(tmp_path), []

    def events():
        with run.log.open("w") as file:
            for line in curve([1.0 - k / 400 for k in range(200)]):
                file.write(json.dumps(line) + "\n")
                file.flush()
                yield Event("reader", line["step"] + 1, 200, {"loss": line["loss"]})

    def look(progress):
        asked.append(progress)
        return Finding("captions", False, "not read", "Look.")

    with caplog.at_level(logging.WARNING, "tranh.doctor"):
        list(watch(events(), run, Stage("reader", steps=200, warmup=5), every=20, look=look))
    assert asked == [0.1, 0.2, 0.4, 0.8]
    assert [r.message for r in caplog.records] == ["step 20: captions FAULT: not read. Look."]


def test_findings_read_well():
    bad = Finding("learning rate", False, "lr is 0", "Set it.", stage="prior")
    assert str(bad) == "prior: learning rate FAULT: lr is 0. Set it."
    assert Diagnosis((bad,)).faults == (bad,) and not Diagnosis((bad,)).healthy


def test_who_stops_listening_stops_the_training(tmp_path):
    stage, run = toys.stage(steps=30, precision="fp32", save_every=100), RunDir(tmp_path)
    events = watch(train(stage, find.build(stage, toys.Toy), toys.Source(), run), run, stage, every=5)
    for event in events:
        if event.done == 12:
            break
    events.close()
    assert checkpoint.newest(run).step == 12 and read_json(run.path / "doctor.json")["step"] == 10
