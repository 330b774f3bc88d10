"""Prepared pictures are found at random, in one split for good; batches are a pure function of seed and step."""

import json
import shutil

import data_toys as lay
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tranh.data.pictures import LANGUAGES, Pictures, language_of
from tranh.data.prepare import prepare
from tranh.data.prepared import SPLITS, Prepared, assign
from tranh.data.ready import Options
from tranh.types import TranhError

COUNT = 60


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("own")
    lines = []
    for i in range(COUNT):
        lay.put(root / "in" / f"{i}.png", lay.encoded(i, size=(48, 48)))
        lines.append({"file_name": f"{i}.png", "text_en": [f"Thing {i}", f"object {i}"], "text_vi": f"vật đỏ {i}"})
    lay.put(root / "in" / "metadata.jsonl", "".join(json.dumps(x) + "\n" for x in lines))
    *_, last = prepare(root / "in", root / "out", Options(size=32), workers=1)
    assert last.result["kept"] == COUNT
    return Prepared(root / "out", root / "cache")


def tokenize(captions):
    tokens = torch.tensor([[hash(c) % 97] for c in captions])
    return tokens, torch.ones_like(tokens, dtype=torch.bool)


def pictures(prepared, **options):
    return Pictures(tokenize, prepared, **{"size": 16, **options})


def test_every_picture_is_the_one_that_was_prepared(prepared):
    assert len(prepared) == COUNT
    for i in (0, 7, COUNT - 1):
        number = int(prepared.record(i)["key"].removesuffix(".png"))
        true = lay.pixels(number, (48, 48)).resize((32, 32), Image.Resampling.LANCZOS)
        near = np.abs(np.asarray(prepared.picture(i), float) - np.asarray(true, float)).mean()
        assert near < 6  # of 255: stored without loss, resized by Pillow's quick way
        small = prepared.unpacked(16)
        assert np.array_equal(small[i], prepared.pixels(i, 16))


def test_no_picture_is_in_two_splits(prepared):
    parts = [set(prepared.of(split).tolist()) for split in SPLITS]
    assert sum(map(len, parts)) == len(set.union(*parts)) == COUNT
    assert [len(p) for p in parts] == [42, 12, 3, 3]
    with pytest.raises(TranhError, match="no split 'dev'"):
        prepared.of("dev")


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, len(SPLITS))), min_size=1, max_size=200))
@settings(max_examples=60, deadline=None)
def test_splits_keep_what_was_said_and_keep_groups_together(rows):
    groups = np.array([g for g, _ in rows], np.uint64)
    said = np.array([s for _, s in rows], np.uint8)
    out = assign(groups, said)
    told = (said < len(SPLITS)) & (said != SPLITS.index("train"))
    assert (out[told] == said[told]).all()
    for group in np.unique(groups):
        free = (groups == group) & ~told
        assert len(np.unique(out[free])) <= 1
    assert np.array_equal(out, assign(groups, said))


@given(seed=st.integers(0, 99), size=st.integers(1, 50), epoch=st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_an_epoch_shows_every_picture_once(prepared, seed, size, epoch):
    source = pictures(prepared)
    n = len(source)
    first, last = epoch * n // size, -(-(epoch + 1) * n // size)
    ids = torch.cat([source.batch(step, size, seed).ids for step in range(first, last)])
    seen = ids[epoch * n - first * size :][:n]
    assert sorted(seen.tolist()) == sorted(prepared.of("train").tolist())


def test_a_batch_depends_on_seed_and_step_alone(prepared):
    one, other = pictures(prepared), pictures(prepared)
    other.batch(3, 8, 5)
    a, b = one.batch(9, 8, 1), other.batch(9, 8, 1)
    assert torch.equal(a.images, b.images) and a.captions == b.captions and torch.equal(a.ids, b.ids)
    assert one.batch(9, 8, 2).ids.tolist() != a.ids.tolist()
    held = set(one.validation(0, 64).ids.tolist())
    assert held == set(prepared.of("validation").tolist())


def test_captions_of_every_language_and_form(prepared):
    source = pictures(prepared)
    forms = set()
    for step in range(20):
        batch = source.batch(step, 16, 0)
        for caption, form in zip(batch.captions, batch.labels["language"].tolist()):
            forms.add((LANGUAGES[form], caption.split()[0]))
    assert forms == {("en", "thing"), ("en", "object"), ("vi", "vật"), ("vi_unmarked", "vat")}
    only = pictures(prepared, languages={"en": 0}, unmarked=0.0).batch(0, 16, 0)
    assert all(caption.startswith("vật đỏ") for caption in only.captions)


def test_languages_are_told_by_letters():
    assert [language_of(c) for c in ("a red ball", "quả bóng đỏ", "café")] == ["und", "vi", "und"]
    assert language_of("qua bong", "vi") == "vi"


def test_a_changed_shard_is_seen(prepared, tmp_path):
    copy = shutil.copytree(prepared.folder, tmp_path / "out")
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"kept": COUNT + 1, "hash": "0" * 64}))
    with pytest.raises(TranhError, match=f"holds {COUNT} pictures and its manifest says {COUNT + 1}"):
        Prepared(copy, tmp_path / "cache")
    with pytest.raises(TranhError, match="holds no prepared pictures"):
        Prepared(tmp_path, tmp_path / "cache")


def test_sizes_are_checked(prepared):
    with pytest.raises(TranhError, match="data.size=4: allowed are 8 to 1024"):
        pictures(prepared, size=4)
    assert pictures(prepared, size=160).batch(0, 2, 0).images.shape == (2, 3, 160, 160)
