"""The image transformer against diffusers' PRXTransformer2DModel, and by itself."""

import pytest
import torch

from tranh.nn.transformer import ImageTransformer, interleave_heads, patchify, unpatchify


def build(**changes):
    torch.manual_seed(0)
    options = dict(patch_size=4, context_dim=24, hidden_size=32, depth=3, num_heads=2, mlp_ratio=2.0) | changes
    network = ImageTransformer(**options)
    for p in network.parameters():  # nothing may hide behind a zero
        torch.nn.init.normal_(p, std=0.1)
    return network.eval()


@pytest.mark.parametrize("bottleneck", [None, 8])
@pytest.mark.parametrize("masked", [False, True])
def test_equals_diffusers(bottleneck, masked):
    from diffusers import PRXTransformer2DModel

    ours = build(bottleneck_size=bottleneck)
    theirs = PRXTransformer2DModel(
        in_channels=3, patch_size=4, context_in_dim=24, hidden_size=32, mlp_ratio=2.0, num_heads=2, depth=3,
        axes_dim=[8, 8], bottleneck_size=bottleneck,
    ).eval()  # fmt: skip
    theirs.load_state_dict(interleave_heads(ours.state_dict(), 16))
    x, t, context = torch.randn(2, 3, 16, 24), torch.tensor([0.1, 0.9]), torch.randn(2, 5, 24)
    mask = torch.tensor([[True] * 5, [True, True, False, False, False]]) if masked else None
    with torch.no_grad():
        expected = theirs(x, t, context, attention_mask=mask, return_dict=False)[0]
        torch.testing.assert_close(ours(x, t, context, mask), expected, atol=1e-4, rtol=1e-3)


def test_masked_context_is_not_seen():
    network = build()
    x, t, context = torch.randn(1, 3, 8, 8), torch.tensor([0.5]), torch.randn(1, 4, 24)
    mask = torch.tensor([[True, True, False, False]])
    other = context.clone()
    other[:, 2:] += 5
    with torch.no_grad():
        torch.testing.assert_close(network(x, t, context, mask), network(x, t, other, mask))


def test_a_row_does_not_depend_on_its_company():
    network = build(hidden_size=64, num_heads=2)
    x, t, context = torch.randn(5, 3, 16, 16), torch.rand(5), torch.randn(5, 4, 24)
    with torch.no_grad():
        together = network(x, t, context)
        alone = torch.cat([network(x[i : i + 1], t[i : i + 1], context[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-3)


def test_patchify_round_trip():
    x = torch.randn(2, 3, 8, 12)
    assert torch.equal(unpatchify(patchify(x, 4), 4, 8, 12), x)


def test_tap_gives_the_middle():
    out, middle = build()(torch.randn(1, 3, 8, 8), torch.tensor([0.5]), torch.randn(1, 2, 24), tap=1)
    assert out.shape == (1, 3, 8, 8) and middle.shape == (1, 4, 32)


def test_bad_width_is_refused():
    with pytest.raises(ValueError, match="multiple of 4 x num_heads"):
        ImageTransformer(context_dim=8, hidden_size=30, num_heads=4)


def test_patches_kept_in_any_order_are_the_patches():
    torch.manual_seed(0)
    net = ImageTransformer(context_dim=16, hidden_size=32, depth=2, num_heads=2, patch_size=4)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.1)
    x, t, context = torch.randn(2, 3, 16, 16), torch.rand(2), torch.randn(2, 5, 16)
    everything = torch.stack([torch.randperm(16), torch.randperm(16)])
    with torch.no_grad():
        whole = patchify(net(x, t, context), 4)
        kept = net(x, t, context, keep=everything)
        some = net(x, t, context, keep=everything[:, :7])
        changed = x.clone()
        changed[:, :, :4, :4] += 1  # the first patch
        without = torch.arange(1, 16).expand(2, -1)
        torch.testing.assert_close(net(x, t, context, keep=without), net(changed, t, context, keep=without))
    torch.testing.assert_close(kept, whole.gather(1, everything[..., None].expand(-1, -1, 48)))
    assert some.shape == (2, 7, 48)
