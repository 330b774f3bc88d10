"""The reader: it learns captions by heart, asks for no order of things, and lends its encoder to the decoder."""

import pytest
import torch

from tranh.data.scenes.labels import PICTURE_SIZES, THING_SIZES, encode
from tranh.data.scenes.layout import scene
from tranh.data.scenes.source import say
from tranh.engine.contract import overfit_one_batch
from tranh.families.clip import Clip
from tranh.families.decoder import Decoder
from tranh.families.reader import Reader
from tranh.text.tokenizer import Tokenizer
from tranh.types import Batch, Phase

B = 8
ENCODER = dict(text_dim=32, text_depth=2, text_heads=2, max_len=128)


def captioned():
    scenes = [scene("two" if i % 2 else "full", "train", i) for i in range(B)]
    captions = [say(value, "en", "dense", "reader", i)[0] for i, value in enumerate(scenes)]
    tokens, mask = Tokenizer.train(captions).encode(captions)
    return Batch(torch.zeros(B, 3, 8, 8), captions, tokens, mask, torch.arange(B), encode(scenes))


@pytest.fixture(scope="module")
def batch():
    return captioned()


def build(batch, **more):
    torch.manual_seed(0)
    vocab = int(batch.tokens.max()) + 1
    return Reader(vocab=vocab, thing_sizes=THING_SIZES, picture_sizes=PICTURE_SIZES, **ENCODER, **more)


LEARNS = dict(steps=120, lr=3e-3)


def toy():
    """For the contract."""
    return build(captioned()), captioned()


def test_captions_are_learned_by_heart(batch):
    family = build(batch)
    figures = overfit_one_batch(family, batch, steps=120, lr=3e-3)
    assert figures[-1] < Reader.overfit_below * figures[0]
    kinds, _ = family.ask(batch.tokens, batch.mask)
    for row, things in zip(kinds[..., 0] > 0, batch.labels["things"], strict=True):
        assert set(row.nonzero().flatten().tolist()) == {int(k) for k in things[:, 0] if k >= 0}


def test_the_order_of_things_does_not_matter(batch):
    family, phase = build(batch), Phase("train", 0, 1, torch.Generator())
    turned = {k: v.flip(1) if k in ("things", "centres", "extents") else v for k, v in batch.labels.items()}
    torch.testing.assert_close(family(batch.replace(labels=turned), phase)["loss"], family(batch, phase)["loss"])


def test_padding_says_nothing(batch):
    family = build(batch).eval()
    longer = torch.nn.functional.pad(batch.tokens, (0, 5), value=7), torch.nn.functional.pad(batch.mask, (0, 5))
    for a, b in zip(family.ask(batch.tokens, batch.mask), family.ask(*longer), strict=True):
        torch.testing.assert_close(a, b)


def test_a_decoder_begins_with_its_encoder(batch):
    family = build(batch)
    decoder = Decoder(vocab=family.config["vocab"], clip_dim=None, hidden_size=32, depth=1, num_heads=2, **ENCODER)
    decoder.load_state_dict(dict(decoder.adopt(family.state_dict())))
    for name, weight in family.text.state_dict().items():
        assert torch.equal(decoder.text.state_dict()[name], weight)


def test_a_clip_begins_with_its_tower(batch):
    family = build(batch, tower=True)
    figures = overfit_one_batch(family, batch, steps=120, lr=3e-3)
    assert figures[-1] < Reader.overfit_below * figures[0]
    clip = Clip(
        vocab=int(batch.tokens.max()) + 1, image_size=8, patch=4, vision_width=32, vision_depth=1, vision_heads=2,
        text_width=32, text_depth=2, text_heads=2, max_len=128,
    )  # fmt: skip
    clip.load_state_dict(clip.adopt(family.state_dict()))
    assert torch.equal(clip.text_model.states(batch.tokens), family.text.states(batch.tokens))
