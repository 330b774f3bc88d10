"""The decoder: contract, conditioning, and beginning from patches of another size."""

import torch

from tranh.engine.contract import overfit_one_batch
from tranh.families.decoder import Decoder
from tranh.nn.asked import labelled
from tranh.text.drop import drop_captions
from tranh.types import Batch, Phase


def tiny(**changes):
    torch.manual_seed(0)
    options = dict(
        vocab=50, max_len=12, clip_dim=16, text_dim=32, text_depth=1, text_heads=2, image_size=16, patch_size=8,
        hidden_size=64, depth=2, num_heads=2, label_sizes=[5, 3], label_tap=1,
    )  # fmt: skip
    return Decoder(**(options | changes))


def batch(size=6, grid=2):
    g = torch.Generator().manual_seed(1)
    tokens = torch.randint(4, 50, (size, 8), generator=g)
    clip = torch.nn.functional.normalize(torch.randn(size, 16, generator=g), dim=-1)
    labels = {"patches": torch.randint(-1, 3, (size, grid * grid, 2), generator=g)}
    images = torch.rand(size, 3, 16, 16, generator=g) * 2 - 1
    return Batch(images, [""] * size, tokens, torch.ones_like(tokens, dtype=torch.bool), torch.arange(size), labels,
                 {"clip.image": clip})  # fmt: skip


def toy():
    """For the contract."""
    return tiny(), batch()


def test_without_clip_it_learns_by_heart_too():
    figures = overfit_one_batch(tiny(clip_dim=None), batch(), steps=100)
    assert figures[-1] < Decoder.overfit_below * figures[0]


def test_without_clip_it_stands_on_nothing():
    assert tiny().parents == ("clip",) and tiny(clip_dim=None).parents == ()


def test_caption_and_embedding_both_reach_the_picture():
    family, b = tiny(), batch()
    for p in family.parameters():
        torch.nn.init.normal_(p, std=0.1)
    t, clip = torch.full((6,), 0.5), b.parts["clip.image"]
    with torch.no_grad():
        plain = family.denoise(b.images, t, *family.context(b.tokens, b.mask, clip))
        other_words = family.denoise(b.images, t, *family.context(b.tokens.roll(1, 0), b.mask, clip))
        other_clip = family.denoise(b.images, t, *family.context(b.tokens, b.mask, clip.roll(1, 0)))
        no_clip = family.denoise(b.images, t, *family.context(b.tokens, b.mask, None))
    for changed in (other_words, other_clip, no_clip):
        assert (changed - plain).abs().mean() > 1e-3


def test_no_embedding_is_a_row_of_zeros():
    family, b = tiny(), batch()
    zeros = torch.zeros_like(b.parts["clip.image"])
    for a, c in zip(family.context(b.tokens, b.mask, None), family.context(b.tokens, b.mask, zeros), strict=True):
        assert torch.equal(a, c)


def test_labels_of_patches_are_learned_and_fade():
    family, b = tiny(label_until=0.5), batch()
    early = family(b, Phase("train", 0, 100, torch.Generator().manual_seed(0)))
    late = family(b, Phase("train", 60, 100, torch.Generator().manual_seed(0)))
    assert "labels" in early and "labels" not in late
    torch.testing.assert_close(early["denoise"], late["denoise"])


def test_begins_from_larger_patches():
    coarse, fine = tiny(patch_size=16), tiny(patch_size=8)
    torch.nn.init.normal_(coarse.text.tokens.weight)
    fine.load_state_dict(dict(fine.adopt(coarse.state_dict())))
    assert torch.equal(fine.text.tokens.weight, coarse.text.tokens.weight)
    assert fine.unet.img_in.weight.shape == (64, 3 * 64)


def test_dropped_captions_are_the_empty_one():
    b = batch()
    dropped = torch.tensor([True, False, True, False, False, False])
    tokens, mask = drop_captions(b.tokens, b.mask, dropped)
    assert tokens[0].tolist() == [2, 3, 1, 0, 0, 0, 0, 0] and mask[0].sum() == 3
    assert torch.equal(tokens[1], b.tokens[1])


def test_kept_patches_are_those_that_show_things(monkeypatch):
    seen = []

    def watched(heads, tokens, labels, told):
        seen.append((tokens.shape, labels))
        return labelled(heads, tokens, labels, told)

    monkeypatch.setattr("tranh.families.decoder.labelled", watched)
    torch.manual_seed(0)
    family = Decoder(**(tiny().config | {"keep": 3, "keep_until": 1.0}))
    b = batch()
    labels = b.labels["patches"].clone()
    labels[..., 0] = torch.tensor([0, 2, 0, 1])  # two of the four show something
    phase = Phase("train", 0, 10, torch.Generator().manual_seed(0))
    family(b.replace(labels={"patches": labels}), phase)
    (shape, kept), *_ = seen
    assert shape[:2] == kept.shape[:2] == (6, 3)
    assert (kept[..., 0] != 0).sum(1).tolist() == [2] * 6
    blind = Decoder(**(tiny().config | {"keep": 2, "keep_until": 0.0}))
    told = [blind(b.replace(labels={"patches": labels}), Phase("train", 0, 10, phase.generator)) for _ in range(8)]
    shares = torch.stack([(kept[..., 0] != 0).float().mean() for _, kept in seen[1:]])
    assert len(told) == 8 and 0.3 < shares.mean() < 0.7  # by chance: half of the patches show something


def test_learns_from_some_patches_and_draws_all():
    figures = overfit_one_batch(family := tiny(keep=3), batch(), steps=150)
    assert figures[-1] < Decoder.overfit_below * figures[0]
    b = batch()
    with torch.no_grad():
        out = family.denoise(b.images, torch.full((6,), 0.5), *family.context(b.tokens, b.mask, b.parts["clip.image"]))
    assert out.shape == b.images.shape
