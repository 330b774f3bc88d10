"""The residual network and the bag of words of CLIP: against what the paper's own code calls, and what each misses."""

import pytest
import torch
import torch.nn.functional as F

from tranh.nn.towers import AttentionPool, BagTower, ResNetTower
from tranh.types import TranhError


def test_attention_pool_is_that_of_the_paper():
    """The published code hands the same rows to ``F.multi_head_attention_forward`` and keeps the first."""
    torch.manual_seed(0)
    pool, x = AttentionPool(12, 3, 4), torch.randn(5, 12, 2, 2)
    rows = x.flatten(2).permute(2, 0, 1)
    rows = torch.cat([rows.mean(0, keepdim=True), rows]) + pool.positions[:, None]
    out, _ = F.multi_head_attention_forward(
        rows[:1], rows, rows, 12, 3, None,
        torch.cat([pool.query.bias, pool.key.bias, pool.value.bias]), None, None, False, 0.0,
        pool.out.weight, pool.out.bias, use_separate_proj_weight=True, q_proj_weight=pool.query.weight,
        k_proj_weight=pool.key.weight, v_proj_weight=pool.value.weight,
    )  # fmt: skip
    torch.testing.assert_close(pool(x), out[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("pool", ["attention", "mean", "max"])
def test_a_picture_is_embedded_the_same_in_any_company(pool):
    torch.manual_seed(0)
    tower, images = ResNetTower(16, 16, 3, 2, pool).eval(), torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        assert tower(images).shape == (4, 16)
        torch.testing.assert_close(tower(images)[2:3], tower(images[2:3]), atol=1e-5, rtol=1e-4)


def test_only_attention_knows_where():
    """On the grid that is pooled: mean and maximum do not change when its places do."""
    torch.manual_seed(0)
    x = torch.randn(3, 8, 2, 2)
    for pool, forgets in (("attention", False), ("mean", True), ("max", True)):
        pooling = ResNetTower(16, 8, 2, 2, pool).pool
        assert torch.allclose(pooling(x), pooling(x.flip(3)), atol=1e-6) is forgets


def test_half_of_the_blocks_are_on_the_larger_grid():
    large, small = ResNetTower(32, 16, 5, 2).layers
    assert [len(large), len(small)] == [2, 3]
    assert [large[0].first.weight.shape[0], small[0].first.weight.shape[0]] == [8, 16]


def test_a_bag_is_the_same_in_any_order_and_does_not_read_padding():
    torch.manual_seed(0)
    bag, tokens = BagTower(30, 16, 2), torch.randint(4, 30, (3, 9))
    mask = torch.arange(9) < torch.tensor([[9], [6], [1]])
    out = bag(tokens, mask)
    order = torch.tensor([3, 1, 5, 0, 2, 4, 8, 7, 6])  # the first six among themselves
    torch.testing.assert_close(bag(tokens[:2][:, order], mask[:2]), out[:2])
    torch.testing.assert_close(bag(tokens.masked_fill(~mask, 7), mask), out)
    assert not torch.allclose(bag(tokens.flip(0), mask), out)


def test_an_untrained_bag_is_the_norm_of_the_mean():
    bag = BagTower(30, 16, 0)
    tokens = torch.tensor([[4, 5, 5]])
    mean = bag.tokens.weight[[4, 5, 5]].mean(0)
    expected = F.layer_norm(F.layer_norm(mean, (16,)), (16,))
    torch.testing.assert_close(bag(tokens, tokens > 0)[0], expected)


@pytest.mark.parametrize("given", [(20, 16, 2), (16, 18, 2), (16, 16, 3)])
def test_what_does_not_divide_is_refused(given):
    side, dim, heads = given
    with pytest.raises(TranhError, match="multiple of 8"):
        ResNetTower(side, dim, 2, heads)


def test_a_pool_nobody_knows_is_refused():
    with pytest.raises(TranhError, match="attention or mean or max"):
        ResNetTower(16, 16, 2, 2, "middle")
