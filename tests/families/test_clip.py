"""CLIP: its loss, its contract, and transformers.CLIPModel reading its weights."""

import math

import torch

from tranh.engine.contract import overfit_one_batch
from tranh.families.clip import Clip, to_transformers
from tranh.types import Batch, Phase, capabilities


def tiny():
    torch.manual_seed(0)
    return Clip(
        vocab=50, max_len=12, image_size=16, patch=8, dim=16, vision_width=32, vision_depth=2, vision_heads=2,
        text_width=32, text_depth=2, text_heads=2,
    )  # fmt: skip


def batch(size=6):
    g = torch.Generator().manual_seed(1)
    tokens = torch.randint(4, 50, (size, 8), generator=g)
    tokens[:, 0], tokens[:, 5], tokens[:, 6:] = 2, 1, 0
    images = torch.rand(size, 3, 16, 16, generator=g) * 2 - 1
    return Batch(images, [""] * size, tokens, tokens != 0, torch.arange(size))


def toy():
    """For the contract."""
    return tiny(), batch()


def test_transformers_reads_it(tmp_path):
    from transformers import CLIPModel

    clip, b = tiny(), batch()
    to_transformers(clip, tmp_path)
    model = CLIPModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        out = model(input_ids=b.tokens, pixel_values=b.images, attention_mask=b.mask.long())
        torch.testing.assert_close(clip.embed_images(b.images), out.image_embeds, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(clip.embed_texts(b.tokens, b.mask), out.text_embeds, atol=1e-5, rtol=1e-4)


def test_untrained_loss_is_log_of_the_batch():
    figures = tiny()(batch(6), Phase("train", 0, 1, torch.Generator()))
    assert abs(figures["loss"].item() - math.log(6)) < 1.0


def test_what_follows_the_end_is_not_read():
    clip, b = tiny(), batch()
    other = b.tokens.clone()
    other[:, 6:] = 7
    assert torch.equal(clip.embed_texts(b.tokens, b.mask), clip.embed_texts(other, b.mask))


def test_overfits_one_batch():
    figures = overfit_one_batch(tiny(), batch(), steps=60)
    assert figures[-1] < Clip.overfit_below * figures[0]


def test_picture_embedding_is_bit_equal_in_any_company():
    clip, b = tiny().eval(), batch()
    with torch.no_grad():
        together = clip.embed_images(b.images)
        assert torch.allclose(together[2:3], clip.embed_images(b.images[2:3]), atol=1e-6)


def test_capabilities():
    assert capabilities(tiny()) == ("embeds",)
