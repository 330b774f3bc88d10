"""Reference statistics: the same as of all features at once, kept on disk, and only for their own network."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metric_toys import network, normal

from tranh.files import read_metadata, write_tensors
from tranh.metrics.statistics import gather, load, moments, save
from tranh.types import TranhError


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.floats(-1e4, 1e4))
def test_batches_of_any_size_give_the_moments_of_all(sizes, mean):
    if sum(sizes) < 2:
        sizes = [*sizes, 2]
    x = normal(sum(sizes), 3, mean=mean)
    found = gather(x.split(sizes), network(), data="d", size=8)
    assert found.count == len(x) and found.whole
    assert torch.allclose(found.moments.mean, moments(x).mean, rtol=1e-12)
    assert torch.allclose(found.moments.covariance, torch.cov(x.T), rtol=1e-6, atol=1e-9)
    assert torch.equal(found.sample, x.float())


def test_the_sample_is_a_fair_choice_in_order():
    x = torch.arange(3000.0)[:, None]
    means = []
    for seed in range(30):
        found = gather(x.split(170), network(), data="d", size=8, kept=100, seed=seed)
        kept = found.sample[:, 0]
        assert len(kept) == 100 and not found.whole and found.count == 3000
        assert torch.equal(kept, kept.sort().values) and len(kept.unique()) == 100
        means.append(float(kept.mean()))
    assert abs(sum(means) / 30 - 1499.5) < 4 * 866 / 3000**0.5


def test_kept_and_read_again(tmp_path):
    x = normal(50, 4).float()
    found = gather([x], network(), data="abc", size=64)
    save(tmp_path / "s.safetensors", found)
    again = load(tmp_path / "s.safetensors")
    assert (again.data, again.network, again.network_hash, again.size, again.count) == (
        "abc", "toy", "0123456789abcdef", 64, 50,
    )  # fmt: skip
    assert torch.equal(again.sample, x) and torch.equal(again.moments.covariance, found.moments.covariance)
    assert '"count": 50' in read_metadata(tmp_path / "s.safetensors")["statistics"]
    again.check(network())
    with pytest.raises(TranhError, match="Compute them again"):
        again.check(replace(network(), hash="f" * 16))


def test_what_is_no_reference_is_refused(tmp_path):
    path = tmp_path / "s.safetensors"
    write_tensors(path, {"mean": torch.zeros(3)})
    with pytest.raises(TranhError, match="does not hold reference statistics"):
        load(path)
    good = gather([normal(5, 3)], network(), data="d", size=8)
    save(path, replace(good, sample=torch.zeros(5, 2)))
    with pytest.raises(TranhError, match="shapes do not agree"):
        load(path)
    with pytest.raises(TranhError, match="at least two"):
        gather([normal(1, 3)], network(), data="d", size=8)
    with pytest.raises(TranhError, match="NaN"):
        gather([normal(5, 3) / 0], network(), data="d", size=8)
