"""The editor: contract, what it is shown, what it may not be told, and its beginning from a decoder."""

import torch

from tranh.families.decoder import Decoder
from tranh.families.editor import COPY, GIVEN, HIDDEN, KNOWN, Editor
from tranh.types import Batch, Fills, Follows, Phase

SIZES = dict(
    vocab=50, max_len=12, clip_dim=16, text_dim=32, text_depth=1, text_heads=2, image_size=16, patch_size=8,
    hidden_size=64, depth=2, num_heads=2, label_sizes=[5, 3], label_tap=1,
)  # fmt: skip


def tiny(**changes):
    torch.manual_seed(0)
    return Editor(**(SIZES | changes))


def batch(size=6):
    g = torch.Generator().manual_seed(1)
    tokens = torch.randint(4, 50, (size, 8), generator=g)
    clip = torch.nn.functional.normalize(torch.randn(size, 16, generator=g), dim=-1)
    labels = {
        "patches": torch.randint(-1, 3, (size, 4, 2), generator=g),
        "before": torch.rand(size, 3, 16, 16, generator=g) * 2 - 1,
        "fault": torch.tensor([-1, 0, 1, -1, 2, 0])[:size],
    }
    images = torch.rand(size, 3, 16, 16, generator=g) * 2 - 1
    return Batch(images, [""] * size, tokens, torch.ones_like(tokens, dtype=torch.bool), torch.arange(size), labels,
                 {"clip.image": clip})  # fmt: skip


def toy():
    """For the contract."""
    return tiny(), batch()


def awake(**changes):
    family = tiny(**changes)
    for p in family.parameters():
        torch.nn.init.normal_(p, std=0.1)
    return family.eval()


def asked(family, b, **changes):
    """What the network is given in a step of training, and the loss of it."""
    seen = {}

    def ask(xt, t, shown, role, context, real, tap=None):
        seen.update(shown=shown, role=role, context=context)
        return type(family)._ask(family, xt, t, shown, role, context, real, tap)

    family._ask = ask
    figures = family(b.replace(**changes), Phase("train", 1, 10, torch.Generator().manual_seed(3)))
    return seen, figures


def test_it_fills_and_follows():
    assert isinstance(tiny(), Fills) and isinstance(tiny(), Follows)


def test_instructions_are_shown_the_picture_before_and_captions_what_is_around_a_hole():
    b = batch()
    seen, _ = asked(awake(holes=1.0, drop=0.0), b)
    told = b.labels["fault"] >= 0
    assert torch.equal(seen["shown"][told], b.labels["before"][told]) and (seen["role"][told] == GIVEN).all()
    hidden = seen["role"][~told].bool()
    assert 0 < hidden.float().mean() < 1
    assert torch.equal(seen["shown"][~told], torch.where(hidden, 0, b.images[~told]))
    alone, _ = asked(awake(holes=0.0, drop=0.0), b)
    assert not alone["shown"][~told].any() and (alone["role"][~told] == HIDDEN).all()


def test_the_embedding_of_a_whole_picture_is_never_told_with_a_part_of_it():
    b, other = batch(), batch().parts["clip.image"].roll(1, 0)
    about = dict(drop=0.0, drop_clip=0.0, drop_words=0.0)
    for holes, differs in ((1.0, False), (0.0, True)):
        one, _ = asked(awake(holes=holes, **about), b)
        two, _ = asked(awake(holes=holes, **about), b, parts={"clip.image": other})
        told = b.labels["fault"] >= 0
        assert torch.equal(one["context"][told], two["context"][told])
        assert torch.equal(one["context"][~told], two["context"][~told]) is not differs


def test_words_are_dropped_only_where_an_embedding_is_left():
    b = batch(6)
    seen, _ = asked(awake(holes=0.0, drop=0.0, drop_clip=0.0, drop_words=1.0), b)
    told = b.labels["fault"] >= 0
    empty = seen["context"][~told][:, :8]
    torch.testing.assert_close(empty[0], empty[1])  # the words of both are gone
    assert not torch.allclose(seen["context"][told][0, :8], seen["context"][told][1, :8])


def test_without_a_word_it_learns_what_may_be_asked_for():
    b = batch()
    family = awake(drop=1.0)
    family._ask = lambda xt, t, shown, role, *rest: (b.images[told], torch.zeros(len(xt), 4, 64))
    told = b.labels["fault"] >= 0
    only = Batch(b.images[told], [""] * 4, b.tokens[told], b.mask[told], b.ids[told],
                 {k: v[told] for k, v in b.labels.items()}, {"clip.image": b.parts["clip.image"][told]})  # fmt: skip
    assert family(only, Phase("train", 1, 10, torch.Generator().manual_seed(3)))["denoise"] == 0


def test_it_begins_as_the_decoder_it_is_made_of():
    torch.manual_seed(0)
    decoder = Decoder(**SIZES)
    for p in decoder.parameters():
        torch.nn.init.normal_(p, std=0.1)
    family, b = tiny(label_sizes=[]), batch()
    family.load_state_dict(family.adopt(decoder.state_dict()))
    clip = b.parts["clip.image"]
    t, theirs = torch.full((6,), 0.7), decoder.guided(b.tokens, b.mask, clip, 2.0)
    drawn = theirs(b.images, t)
    torch.testing.assert_close(family.guided(b.tokens, b.mask, clip, 2.0)(b.images, t), drawn)
    other = b.images.flip(0)
    for role, taken in ((GIVEN, True), (KNOWN, True), (HIDDEN, False)):
        ours = family.guided(b.tokens, b.mask, clip, 2.0, shown=other, role=torch.full((6, 1, 16, 16), role))
        mixed = drawn.lerp(other, torch.sigmoid(torch.tensor(COPY))) if taken else drawn
        torch.testing.assert_close(ours(b.images, t), mixed)


def test_an_editor_that_copied_nothing_is_adopted_and_copies_alike_everywhere():
    family, other = awake(), tiny()
    old = family.state_dict()
    for name in ("weight", "bias"):
        old[f"unet.final_layer.linear.{name}"] = old[f"unet.final_layer.linear.{name}"][: 3 * 64]
    other.load_state_dict(other.adopt(old))
    for name, tensor in other.state_dict().items():
        own = tensor[: 3 * 64] if "final_layer.linear" in name else tensor
        assert torch.equal(own, old[name]) and not tensor[len(own) :].any(), name


def test_outside_a_hole_every_pixel_stays():
    family, b = awake(), batch()
    holes = torch.zeros(6, 1, 16, 16, dtype=torch.bool)
    holes[:, :, 4:9, 2:7] = True
    with torch.no_grad():
        *_, last = family.fill(b.tokens, b.mask, range(6), b.images, holes, steps=3)
    outside = ~holes.expand_as(b.images)
    assert torch.equal(last.x[outside], b.images[outside]) and not torch.equal(last.x, b.images)


def test_what_is_followed_and_what_is_faulty_depend_on_words_and_picture():
    family, b = awake(), batch()
    other = b.tokens.roll(1, 0)
    with torch.no_grad():
        faults = family.faults(b.tokens, b.mask, b.images)
        torch.testing.assert_close(faults.sum(-1), torch.ones(6))
        assert not torch.allclose(faults, family.faults(other, b.mask, b.images))
        assert not torch.allclose(faults, family.faults(b.tokens, b.mask, b.images.roll(1, 0)))
        drawn = [
            list(family.follow(tokens, b.mask, range(6), images, steps=2))[-1].x
            for tokens, images in ((b.tokens, b.images), (other, b.images), (b.tokens, b.images.roll(1, 0)))
        ]
    assert drawn[0].abs().max() <= 1
    assert not torch.allclose(drawn[0], drawn[1]) and not torch.allclose(drawn[0], drawn[2])


def test_a_moving_picture_is_told_when():
    family, b = awake(moments=True), batch()
    seen, figures = asked(family, b, labels={**b.labels, "moment": torch.linspace(0, 1, 6)})
    assert seen["context"].shape[1] == 8 + 2 + 1 and figures["loss"].isfinite()
    with torch.no_grad():
        start, late = (
            list(family.follow(b.tokens, b.mask, [4] * 6, b.images, steps=2, moment=torch.full((6,), when)))[-1].x
            for when in (0.0, 0.8)
        )
    assert not torch.allclose(start, late)
