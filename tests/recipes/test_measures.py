"""All measures of two sets in one call, and the reference statistics of a data set."""

import sys
from pathlib import Path

import pytest
import torch

from tranh.metrics.measured import Measured, Refused
from tranh.recipes import measures, reference
from tranh.recipes.networks import own
from tranh.types import TranhError

sys.path.insert(0, str(Path(__file__).parent.parent / "metrics"))
from metric_toys import network, pictures

NAMES = ["FD-toy", "FD∞-toy", "KD-toy", "precision-toy", "recall-toy", "density-toy", "coverage-toy", "IS-toy"]


def by_name(found):
    return {one.name: one for one in found}


def test_everything_that_can_be_had():
    real, made = pictures(160), pictures(160, 1, level=0.3)
    found = measures.measure_sets(real, made, network(), samples=4)
    assert [one.name for one in found] == [*NAMES, "diversity-toy"]
    assert all(isinstance(one, Measured) for one in found)
    other, floor = by_name(found), by_name(measures.floor(torch.cat([real, pictures(160, 2)]), network()))
    assert list(floor) == NAMES
    assert other["KD-toy"].interval.low > floor["KD-toy"].interval.high
    assert other["FD∞-toy"].interval.low > floor["FD∞-toy"].interval.high
    assert other["coverage-toy"].value < floor["coverage-toy"].value


def test_what_cannot_be_had_says_why():
    few = by_name(measures.measure_sets(pictures(40), pictures(40, 1), network(classes=None)))
    assert isinstance(few["FD-toy"], Measured)
    assert isinstance(few["KD-toy"], Refused) and "at least 100" in few["KD-toy"].reason
    assert isinstance(few["recall-toy"], Refused)
    assert isinstance(few["IS-toy"], Refused) and "no classes" in few["IS-toy"].reason
    fewer = by_name(measures.measure_sets(pictures(12), pictures(12, 1), network(), allow_few=True))
    assert isinstance(fewer["FD-toy"], Measured) and fewer["FD-toy"].card.notes and "FD∞-toy" not in fewer
    with pytest.raises(TranhError, match="3 samples of each prompt"):
        measures.measure_sets(pictures(40), pictures(40, 1), network(), samples=3)


def test_a_reference_stands_for_its_pictures(tmp_path):
    net, real, made = network(), pictures(160), pictures(160, 1, level=0.3)
    kept = reference.reference("a" * 64, net, real.split(50), tmp_path, size=16)
    assert measures.measure_sets(kept, made, net) == measures.measure_sets(real, made, net)


def test_a_reference_is_computed_once(tmp_path):
    net, begun = network(), []

    def batches():
        begun.append(1)
        yield from pictures(60).split(25)

    first = reference.reference("a" * 64, net, batches(), tmp_path, size=16, count=40)
    again = reference.reference("a" * 64, net, batches(), tmp_path, size=16, count=40)
    assert begun == [1] and first.count == again.count == 40 and torch.equal(first.sample, again.sample)
    assert torch.equal(first.sample, net.features(pictures(60)[:40]))
    reference.reference("a" * 64, net, batches(), tmp_path, size=16)
    reference.reference("b" * 64, net, batches(), tmp_path, size=16)
    assert len(begun) == 3 and len(list(tmp_path.iterdir())) == 3
    with pytest.raises(TranhError, match="61 pictures were asked for and the data set has 60"):
        reference.reference("a" * 64, net, batches(), tmp_path, size=16, count=61)
    with pytest.raises(TranhError, match=r"must be \(B, 3, 32, 32\)"):
        reference.reference("a" * 64, net, batches(), tmp_path, size=32)


def test_a_file_of_other_pictures_is_refused(tmp_path):
    net = network()
    reference.reference("a" * 64, net, [pictures(30)], tmp_path, size=16)
    path = reference.where("a" * 64, net, tmp_path, size=16)
    path.rename(reference.where("b" * 64, net, tmp_path, size=16))
    with pytest.raises(TranhError, match="other pictures"):
        reference.reference("b" * 64, net, [pictures(30)], tmp_path, size=16)


def test_the_projects_own_network_has_classes():
    from tranh.data.scenes.labels import PICTURE_SIZES
    from tranh.recipes.judge import renders

    net = own()
    assert net.probabilities is not None
    p = net.probabilities(renders("full", "test", range(6)))
    assert p.shape == (6, torch.tensor(PICTURE_SIZES).prod()) and torch.allclose(p.sum(1), torch.ones(6), atol=1e-5)
    assert float(p.amax(1).min()) > 0.3 and len(p.argmax(1).unique()) > 2  # sure, and of different things
    assert net.features(torch.rand(2, 3, 100, 80)).shape == (2, 448)
