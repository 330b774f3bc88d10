"""The free teacher: what it asks, of whom, and until when."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tranh.nn.teacher import PatchTeacher, tapping


def teacher():
    torch.manual_seed(0)
    return PatchTeacher(6, [3, 2], weight=0.5, until=0.8)


def test_each_label_of_each_patch_is_asked_of_its_place():
    one, seen = teacher(), torch.randn(2, 6, 4, 4)
    labels = torch.randint(0, 3, (2, 4, 2), generator=torch.Generator().manual_seed(1))
    labels[0, 1, 0] = -1  # nobody can know
    told = torch.tensor([True, True])
    loss = one.loss(torch.tensor(2.0), [seen], labels, told, 0.0)
    tokens = F.avg_pool2d(seen, 2).flatten(2).transpose(1, 2)  # 4 x 4 places, 2 x 2 patches
    expected = []
    for field, head in enumerate(one.heads):
        each = [
            F.cross_entropy(head(tokens[b, k]), labels[b, k, field])
            for b in range(2)
            for k in range(4)
            if labels[b, k, field] >= 0
        ]
        expected.append(torch.stack(each).mean())
    torch.testing.assert_close(loss, 2.0 + 0.5 * torch.stack(expected).mean())


def test_a_dropped_caption_is_not_asked_about():
    one, seen, labels = teacher(), torch.randn(2, 6, 2, 2), torch.ones(2, 4, 2, dtype=torch.long)
    half = one.loss(torch.tensor(0.0), [seen], labels, torch.tensor([True, False]), 0.0)
    alone = one.loss(torch.tensor(0.0), [seen[:1]], labels[:1], torch.tensor([True]), 0.0)
    torch.testing.assert_close(half, alone)


@pytest.mark.parametrize("progress,share", [(0.0, 1.0), (0.4, 0.5), (0.8, 0.0), (1.0, 0.0)])
def test_it_falls_silent(progress, share):
    one, seen, labels = teacher(), torch.randn(2, 6, 2, 2), torch.ones(2, 4, 2, dtype=torch.long)
    told = torch.tensor([True, True])
    loss, full = (one.loss(torch.tensor(0.0), [seen], labels, told, p) for p in (progress, 0.0))
    torch.testing.assert_close(loss, share * full)


def test_without_labels_or_heads_nothing_is_asked():
    seen, told = torch.randn(2, 6, 2, 2), torch.tensor([True, True])
    assert teacher().loss(torch.tensor(3.0), [seen], None, told, 0.0) == 3.0
    silent = PatchTeacher(6, [])
    assert silent.loss(torch.tensor(3.0), [seen], torch.ones(2, 4, 2, dtype=torch.long), told, 0.0) == 3.0


def test_a_tap_is_taken_off_again():
    block = nn.Linear(2, 3)
    with pytest.raises(RuntimeError, match="stop"), tapping(block) as seen:
        out = block(torch.ones(1, 2))
        raise RuntimeError("stop")
    block(torch.ones(1, 2))
    assert len(seen) == 1 and seen[0] is out
