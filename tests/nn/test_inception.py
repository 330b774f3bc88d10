"""The Inception of FID gives what the reference implementation gives."""

import sys
from pathlib import Path

import pytest
import torch

from tranh.nn.inception import Inception, resized

sys.path.insert(0, str(Path(__file__).parent))
from inception_toys import FEATURES, LOGITS, pixels, weights


def test_it_gives_the_numbers_of_the_reference():
    network = Inception().eval()
    network.load_state_dict(weights())
    with torch.no_grad():
        features, logits = network(pixels())
        assert features.shape == (2, 2048) and logits.shape == (2, 1008)
        assert features[:, ::290].tolist() == [pytest.approx(row, abs=2e-5) for row in FEATURES]
        assert logits[:, ::252].tolist() == [pytest.approx(row, abs=2e-5) for row in LOGITS]
        network.Mixed_7c.maximum = False  # the usual Inception: the difference is seen
        assert (network(pixels())[0][:, ::290] - torch.tensor(FEATURES)).abs().max() > 1e-3


def test_names_are_those_of_the_published_weights():
    state = Inception().state_dict()
    assert len(state) == 94 * 5 + 2  # 94 convolutions with their norms, and the classifier
    assert state["fc.weight"].shape == (1008, 2048) and state["Conv2d_1a_3x3.conv.weight"].shape == (32, 3, 3, 3)
    for name in ("Mixed_5b.branch1x1", "Mixed_6c.branch7x7dbl_5", "Mixed_7a.branch7x7x3_4", "Mixed_7c.branch3x3_2b"):
        assert f"{name}.bn.running_var" in state
    assert state["Mixed_6a.branch3x3.conv.weight"].shape == (384, 288, 3, 3)
    assert state["Mixed_7b.branch3x3dbl_3a.conv.weight"].shape == (384, 384, 1, 3)


def test_resizing_is_that_of_tensorflow_1():
    ramp = torch.tensor([0.0, 10.0, 20.0, 30.0]).expand(1, 1, 4, 4)
    # Place i is read at i * 4 / 8: corners are not aligned, the last one repeats.
    assert resized(ramp, 8)[0, 0, 0].tolist() == [0, 5, 10, 15, 20, 25, 30, 30]
    assert resized(ramp, 2)[0, 0, 0].tolist() == [0, 20]  # no antialiasing: it skips
    assert torch.equal(resized(ramp, 4), ramp)
