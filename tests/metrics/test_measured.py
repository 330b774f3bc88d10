"""Numbers carry their protocol, are JSON, and are refused where there are too few pictures."""

import json

import pytest
import torch
from metric_toys import network, normal
from torch import Tensor

from tranh.metrics import (
    clip_score,
    diversity,
    frechet,
    inception_score,
    kernel,
    neighbours,
    psnr,
    r_precision,
    sharpness,
    ssim,
)
from tranh.metrics.measured import Measured, Refused
from tranh.metrics.network import Network
from tranh.types import TranhError


def some(n: int) -> Tensor:
    return torch.rand(n, 3, 12, 12, generator=torch.Generator().manual_seed(n)) * 2 - 1


def all_of(n: int, net: Network, allow_few: bool = False) -> list[Measured]:
    a, b = normal(n, 8), normal(n, 8, 1)
    names = [str(i) for i in range(n)]
    few = {"allow_few": allow_few}
    return [
        frechet.measure(a, b, net, **few),
        kernel.measure(a, b, net, **few),
        *neighbours.measure(a, b, net, **few),
        inception_score.measure((3 * a).softmax(1), net, **few),
        clip_score.measure(a, b, net, **few),
        r_precision.measure(a, b, names, net, candidates=5, **few),
        psnr.measure(some(n), some(n + 1)[:n], **few),
        ssim.measure(some(n), some(n + 1)[:n], **few),
        sharpness.measure(some(n), some(n + 1)[:n], **few),
        diversity.measure(normal(3 * n, 8).unflatten(0, (n, 3)), net, **few),
    ]


def test_every_number_has_an_interval_and_a_card():
    for found in all_of(120, network("toy")):
        assert found.interval.low <= found.value <= found.interval.high, found
        assert found.interval.low < found.interval.high, found
        card = found.card
        assert card.implementation.startswith("tranh.metrics ") and card.interval and card.seed == 0
        assert set(card.counts.values()) == {120} and card.notes == ()
        pixels = found.name in ("PSNR", "SSIM", "sharpness difference")
        seen = (card.network, card.network_hash, card.resize)
        assert seen == ((None,) * 3 if pixels else ("toy", "0123456789abcdef", "4 x 4 means"))
        assert pixels or found.name.endswith("-toy")
        kept = json.loads(json.dumps(found.json(), allow_nan=False))
        assert kept["interval"]["value"] == found.value and kept["card"]["counts"] == dict(card.counts)
        assert found.name in str(found) and card.implementation in str(card) and "seed 0" in str(card)


def test_the_same_seed_gives_the_same_and_another_seed_another_interval():
    net, a, b = network(), normal(120, 8), normal(120, 8, 1)
    for measure in (frechet.measure, kernel.measure):
        assert measure(a, b, net) == measure(a, b, net)
        one, other = measure(a, b, net), measure(a, b, net, seed=1)
        assert one.value == pytest.approx(other.value, rel=1e-12) and one.interval != other.interval


def test_only_inception_gives_a_fid():
    a, b, p = normal(120, 8), normal(120, 8, 1), normal(120, 4).softmax(1)
    for name, expected in (
        ("inception", ["FID", "FID∞", "KID", "IS"]),
        ("verifier-1", ["FD-verifier-1", "FD∞-verifier-1", "KD-verifier-1", "IS-verifier-1"]),
        ("inception-0a1b2c3d", [f"{m}-inception-0a1b2c3d" for m in ("FD", "FD∞", "KD", "IS")]),
    ):
        net = network(name)
        first = frechet.measure(a, b, net)
        found = [first, frechet.extrapolated(first), kernel.measure(a, b, net), inception_score.measure(p, net)]
        assert [one.name for one in found] == expected


def test_too_few_pictures_are_refused_with_what_to_do():
    net = network()
    a, b = normal(15, 8), normal(15, 8, 1)
    refusals = {
        "at least 16. Make more pictures, or measure the kernel": lambda: frechet.measure(a, b, net),
        "at least 100": lambda: kernel.measure(a, b, net),
        "precision and recall: it needs at least 100": lambda: neighbours.measure(a, b, net),
        "at least 30": lambda: inception_score.measure(normal(29, 15).softmax(1), net),
        "CLIP score-toy: it needs at least 16": lambda: clip_score.measure(a, b, net),
        "R-precision-toy: it needs at least 16": lambda: r_precision.measure(a, b, list("abcdefghijklmno"), net),
        "PSNR: it needs at least 16": lambda: psnr.measure(some(15), some(15)),
        "SSIM: it needs at least 16": lambda: ssim.measure(some(15), some(15)),
        "sharpness difference: it needs at least 16": lambda: sharpness.measure(some(15), some(15)),
        "15 prompts are too few": lambda: diversity.measure(normal(30, 8).unflatten(0, (15, 2)), net),
    }
    for said, measure in refusals.items():
        with pytest.raises(TranhError, match=said):
            measure()


def test_few_pictures_that_are_allowed_are_marked():
    for found in all_of(12, network(), allow_few=True):
        assert "too few pictures" in str(found) and found.card.notes, found
    first = frechet.measure(normal(12, 8), normal(12, 8, 1), network(), allow_few=True)
    with pytest.raises(TranhError, match="extrapolated"):
        frechet.extrapolated(first)


def test_fewer_pictures_than_features_give_the_same_by_the_short_way():
    a, b = normal(200, 30), normal(20, 30, 1, 1.4)
    found = frechet.measure(a, b, network(), allow_few=True).value
    padded = torch.linalg.eigvals(torch.cov(a.T) @ torch.cov(b.T)).sqrt().real.sum()
    expected = (a.mean(0) - b.mean(0)).square().sum() + torch.cov(a.T).trace() + torch.cov(b.T).trace() - 2 * padded
    assert found == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("broken", [normal(120, 8) / 0, normal(120, 8).log()])
def test_broken_features_are_refused(broken):
    net, a = network(), normal(120, 8)
    for measure in (frechet.measure, kernel.measure, neighbours.measure, clip_score.measure):
        with pytest.raises(TranhError, match="NaN or infinite"):
            measure(a, broken, net)


@pytest.mark.parametrize("measure", [frechet.measure, kernel.measure, neighbours.measure, clip_score.measure])
def test_shapes_that_do_not_agree_are_refused(measure):
    with pytest.raises(TranhError, match="shapes"):
        measure(normal(120, 8), normal(120, 7), network())


def test_a_refusal_is_told():
    refused = Refused("FID", "too few")
    assert str(refused) == "FID: not measured. too few" and refused.json() == {"name": "FID", "reason": "too few"}
