"""Measures on the way, family by family: against answers known in advance, and the same whenever they are asked."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tranh.data.scenes.source import Scenes
from tranh.engine.frozen import Frozen
from tranh.metrics.network import Network
from tranh.recipes import measuring
from tranh.text.tokenizer import Tokenizer
from tranh.types import Stage

COARSE = Network("coarse", "0", "mean of squares", lambda images: images.float().mean((2, 3)).cpu())

COMPARED = {f"{what}-coarse" for what in ("precision", "recall", "density", "coverage")}


@pytest.fixture(scope="module")
def source(assets, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield Scenes(Tokenizer.load(assets["tokenizer.json"]).encode, {"one": 1.0}, count=40)


def measured(family, parts, source, count=24, network=COARSE, **stage):
    """Two askings, which must agree."""
    stands = {"clip": Frozen(parts["clip"], "x")} if parts[family].parents else {}
    measure = measuring.measurer_of(
        Stage(family, metrics_count=count, precision="fp32", **stage), source, stands, lambda: network
    )
    first = measure(parts[family], 0)
    torch.rand(7)
    assert measure(parts[family], 9) == first
    for name, told in first.items():
        if isinstance(told, dict):
            assert told["low"] <= told["value"] <= told["high"], name
    return first


def test_every_family_has_its_measures(parts, source, monkeypatch):
    monkeypatch.setattr(measuring, "TILE", 8)  # batches that do not divide the count
    found = measured("decoder", parts, source, count=100)
    assert found.keys() == {"FD-coarse", "FD∞-coarse", "KD-coarse", *COMPARED, "diversity-coarse"}
    assert measured("prior", parts, source).keys() == {"cosine to the true embedding", "nearest of 24 is its own"}
    assert measured("ar_prior", parts, source).keys() == measured("prior", parts, source).keys()
    retrieval = measured("clip", parts, source)
    assert {"caption to picture, R@1 of 24", "picture to caption, R@1 of 24"} <= retrieval.keys()
    assert any(name.startswith("vi: ") for name in retrieval) and any(name.startswith("en: ") for name in retrieval)


def test_what_so_few_pictures_cannot_tell_is_left_out(parts, source):
    wide = Network("wide", "0", "pixels", lambda images: images.flatten(1)[:, :448].cpu())
    assert measured("decoder", parts, source, count=16, network=wide).keys() == {"diversity-wide"}
    assert measured("decoder", parts, source, count=3, network=wide) == {}


def test_an_upsampler_is_compared_with_the_originals(parts, assets, tmp_path, monkeypatch):
    monkeypatch.setenv("TRANH_CACHE", str(tmp_path))
    large = Scenes(Tokenizer.load(assets["tokenizer.json"]).encode, {"one": 1.0}, count=4, size=256)
    found = measured("upsampler", parts, large, count=16)
    assert found.keys() == {"PSNR", "SSIM", "sharpness difference"}


def test_families_without_measures_have_none(source):
    assert measuring.measurer_of(Stage("reader"), source, {}) is None
    assert measuring.measurer_of(Stage("verifier"), source, {}) is None


def test_the_project_s_own_network_is_used(parts, source):
    measure = measuring.measurer_of(Stage("decoder", metrics_count=16), source, {"clip": Frozen(parts["clip"], "x")})
    assert measure(parts["decoder"], 0)["diversity-verifier-1"]["value"] > 0


def test_a_known_answer():
    off = measuring.likeness(torch.zeros(20, 3, 16, 16), torch.full((20, 3, 16, 16), 0.2))
    assert off["PSNR"].value == pytest.approx(20)  # 10 % of full scale


class Lookup:
    """A CLIP that embeds what it is told."""

    def __init__(self, images, texts):
        self.images, self.texts = images, texts

    def embed_images(self, images):
        return self.images[images[:, 0, 0, 0].long()]

    def embed_texts(self, tokens, mask):
        return self.texts[tokens[:, 0]]


@settings(max_examples=25)
@given(st.integers(2, 150), st.integers(1, 40), st.randoms(use_true_random=False))
def test_retrieval_counts_exactly_those_that_are_nearest(count, size, random):
    wrong = set(random.sample(range(count), random.randint(0, count)))
    eye = torch.eye(count)
    texts = torch.stack([eye[i] if i not in wrong else -eye[i] for i in range(count)])  # farther than any other
    batches = [
        SimpleNamespace(
            images=torch.arange(a, min(a + size, count)).float().reshape(-1, 1, 1, 1),
            tokens=torch.arange(a, min(a + size, count)).reshape(-1, 1), mask=None,
            labels={"language": torch.arange(a, min(a + size, count)) % 2},
        )
        for a in range(0, count, size)
    ]  # fmt: skip
    pool = min(count, measuring.POOL)
    asked = count // pool * pool
    found = measuring.retrieved(Lookup(eye, texts), batches, ("en", "vi"))
    # one whose own is farthest finds another; alone in a pool there is no other
    right = asked - sum(i < asked for i in wrong) if pool > 1 else asked
    assert found[f"caption to picture, R@1 of {pool}"].value == pytest.approx(right / asked)
    english = range(0, asked, 2)
    assert found[f"en: caption to picture, R@1 of {pool}"].value == pytest.approx(
        sum(i not in wrong for i in english) / len(english)
    )
