"""Muon by blocks against torch's own Muon, and against the singular values it promises."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tranh.engine.muon import ROWS, Muon, block_rows, orthogonalize


def train(optimizer, parts, target, steps=4):
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (torch.cat(list(parts)) - target).pow(2).sum() + torch.cat(list(parts)).pow(4).sum()
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize("shape", [(48, 96), (64, 32), (128, 40), (192, 64)])
def test_is_torchs_muon_on_each_block_of_rows(shape):
    generator = torch.Generator().manual_seed(0)
    begin, target = torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)
    ours = nn.Parameter(begin.clone())
    train(Muon([ours], lr=0.02, weight_decay=0.1), [ours], target)
    theirs = [nn.Parameter(part.clone()) for part in begin.split(block_rows(shape[0]))]
    options = dict(lr=0.02, momentum=0.95, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    train(torch.optim.Muon(theirs, **options), theirs, target)
    assert (ours - begin).abs().max() > 1e-3
    torch.testing.assert_close(ours.detach(), torch.cat(theirs).detach(), rtol=0, atol=2e-3)  # bfloat16, other kernels


@given(st.integers(1, 3000))
def test_blocks_divide_the_rows(rows):
    size = block_rows(rows)
    assert rows % size == 0 and (size == rows or ROWS / 2 <= size <= ROWS)


@pytest.mark.parametrize("shape", [(3, 64, 384), (2, 96, 32)])
def test_singular_values_become_about_one(shape):
    values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)).float())
    assert 0.5 < values.min() and values.max() < 1.4


def test_parameters_without_gradient_stay():
    p = nn.Parameter(torch.ones(4, 4))
    optimizer = Muon([p])
    optimizer.step()
    assert torch.equal(p, torch.ones(4, 4)) and not optimizer.state


def test_a_kernel_is_the_matrix_of_its_rows():
    g = torch.Generator().manual_seed(0)
    start, grad = (torch.randn(8, 4, 3, 3, generator=g) for _ in range(2))
    kernel = torch.nn.Parameter(start.clone().to(memory_format=torch.channels_last))
    matrix = torch.nn.Parameter(start.flatten(1).clone())
    optimizer = Muon([kernel, matrix], lr=0.1)
    for _ in range(3):
        kernel.grad, matrix.grad = grad.clone(), grad.flatten(1).clone()
        optimizer.step()
    assert torch.equal(kernel.flatten(1), matrix) and not torch.equal(matrix, start.flatten(1))
