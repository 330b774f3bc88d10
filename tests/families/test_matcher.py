"""The matcher: contract, doubles that are no negatives, augmentation, and what its bag of words sees of order."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tranh.engine.contract import figures_of
from tranh.families.matcher import HOLE, Matcher, augmented, belongs, divergence, thinned
from tranh.recipes.matcher import recipe
from tranh.recipes.unclip import recipe as unclip
from tranh.types import Batch, Phase, capabilities


def tiny(**options):
    torch.manual_seed(0)
    return Matcher(**dict(vocab=50, max_len=12, image_size=16, dim=16, widths=(8, 16, 16), depths=(1, 1, 1),
                          text_width=16, text_depth=1) | options)  # fmt: skip


def batch(size=6, side=16):
    g = torch.Generator().manual_seed(1)
    tokens = torch.randint(4, 50, (size, 8), generator=g)
    tokens[:, 0], tokens[:, 5], tokens[:, 6:] = 2, 1, 0
    images = torch.rand(size, 3, side, side, generator=g) * 2 - 1
    return Batch(images, [""] * size, tokens, tokens != 0, torch.arange(size))


def toy():
    """For the contract."""
    return tiny(), batch()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_capabilities_and_unit_length():
    family, b = tiny().eval(), batch()
    assert capabilities(family) == ("embeds",)
    with torch.no_grad():
        for rows in (family.embed_images(b.images), family.embed_texts(b.tokens, b.mask)):
            torch.testing.assert_close(rows.norm(dim=-1), torch.ones(6))


def test_a_row_does_not_depend_on_its_company():
    family, b = tiny().eval(), batch()
    with torch.no_grad():
        torch.testing.assert_close(family.embed_images(b.images[2:3]), family.embed_images(b.images)[2:3])
        alone = family.embed_texts(b.tokens[2:3, :6], b.mask[2:3, :6])  # without the padding
        torch.testing.assert_close(alone, family.embed_texts(b.tokens, b.mask)[2:3])


@pytest.mark.parametrize("shape", [(16, 16), (64, 64), (5, 9), (300, 40)])
def test_pictures_of_any_size_are_read(shape):
    assert tiny().eval().embed_images(torch.zeros(2, 3, *shape)).shape == (2, 16)


def test_what_is_padding_is_not_read():
    family, b = tiny().eval(), batch()
    other = b.tokens.masked_fill(~b.mask, 7)
    with torch.no_grad():
        assert torch.equal(family.embed_texts(b.tokens, b.mask), family.embed_texts(other, b.mask))


def test_untrained_loss_is_about_the_log_of_the_batch():
    family = tiny().eval()
    family.logit_scale.data.zero_()  # so that chance similarities do not count
    assert abs(float(figures_of(family, batch())["train.loss"]) - math.log(6)) < 0.4


def test_order_is_seen_and_a_bag_would_not_see_it():
    family = tiny().eval()
    words, back = torch.tensor([[2, 10, 11, 12, 13, 1]]), torch.tensor([[2, 13, 12, 11, 10, 1]])
    with torch.no_grad():
        a, b = (family.embed_texts(t, t > 0) for t in (words, back))
        assert (a - b).abs().max() > 1e-3
        family.positions.zero_()
        for layer in family.words:
            layer.mix.weight.zero_()
            layer.mix.bias.zero_()
        a, b = (family.embed_texts(t, t > 0) for t in (words, back))
        torch.testing.assert_close(a, b)


def reference(ids, captions):
    """True pairs, by looking them up among those that were shown."""
    shown = set(zip(ids, captions, strict=True))
    return torch.tensor([[(i, c) in shown for c in captions] for i in ids])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12))
def test_captions_known_to_be_true_are_no_negatives(pairs):
    ids, captions = zip(*pairs, strict=True)
    length = torch.tensor(captions) % 2 + 1  # the same tokens with another length are another caption
    tokens = torch.tensor([[4 + c // 2, 4 + c // 2, 9] for c in captions])
    found = belongs(torch.tensor(ids), tokens, torch.arange(3) < length[:, None])
    assert torch.equal(found, reference(ids, captions)) and found.diagonal().all()


def test_a_judge_that_gives_doubles_the_same_is_not_punished():
    b = batch()
    ids, tokens = torch.tensor([0, 1, 2, 3, 4, 4]), b.tokens.clone()
    tokens[1] = tokens[0]  # two pictures with one caption, one picture with two captions
    true = belongs(ids, tokens, b.mask)
    assert true[0, 1] and true[1, 0] and true[4, 5] and true[5, 4] and int(true.sum()) == 10
    assert float(divergence(100 * true.float(), true)) < 1e-4
    assert float(divergence(100 * torch.eye(6), true)) > 1


def test_divergence_is_cross_entropy_without_what_cannot_be_learned():
    logits, true = torch.randn(5, 7, generator=generator()), torch.rand(5, 7, generator=generator(1)) > 0.5
    true[:, 0] = True
    for smoothing in (0.0, 0.2):
        target = (1 - smoothing) * true.float() / true.sum(1, keepdim=True) + smoothing / 7
        expected = (
            torch.nn.functional.cross_entropy(logits, target) - torch.distributions.Categorical(target).entropy().mean()
        )
        torch.testing.assert_close(divergence(logits, true, smoothing), expected)


def test_augmentation_is_light_repeats_and_can_be_left_out():
    x = batch(side=32, size=64).images
    assert augmented(x, generator(), 0) is x
    y = augmented(x, generator())
    assert torch.equal(y, augmented(x, generator())) and not torch.equal(y, augmented(x, generator(1)))
    assert y.abs().max() <= 1
    flat = augmented(torch.full_like(x, 0.5), generator())
    covered = (flat.abs().amax(1) == 0).flatten(1).float().mean(1)  # (B,)
    assert 0.3 < (covered > 0).float().mean() < 0.7 and covered.max() <= (HOLE + 1 / 16) ** 2
    kept = flat[covered == 0]
    assert (kept - 0.5).abs().mean() < 0.1


def test_a_shift_is_small_and_never_mirrors():
    ramp = torch.linspace(-1, 1, 32).expand(64, 3, 32, 32)
    y = augmented(ramp, generator())
    middle = y[:, :, :, 20:28].mean((1, 2, 3)) - y[:, :, :, 4:12].mean((1, 2, 3))
    assert (middle > 0.4).all()


def test_words_are_left_out_but_never_all():
    mask = torch.ones(500, 9, dtype=torch.bool)
    mask[:, 7:] = False
    kept = thinned(mask, generator(), 0.5)
    assert kept[:, 0].all() and not kept[:, 7:].any() and 0.45 < kept[:, 1:7].float().mean() < 0.55
    assert not (thinned(mask, generator(), 1.0)[:, 1:]).any()


def test_training_draws_from_the_phase_only():
    family, b = tiny(drop=0.0), batch()
    losses = [family(b, Phase("train", 0, 1, generator(seed)))["loss"].item() for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_every_matrix_is_updated_once():
    groups = tiny().param_groups("train")
    params = [id(p) for group in groups for p in group.params]
    assert len(params) == len(set(params)) == len(list(tiny().parameters()))
    assert all(p.ndim == 2 for p in groups[0].params) and groups[0].optimizer == "muon"


def test_its_size_must_fit():
    with pytest.raises(ValueError, match="multiple of 8"):
        tiny(image_size=20)


def test_its_recipe_is_kept_apart_from_the_systems_it_judges():
    (stage,) = recipe().stages.values()
    judged = unclip().stages.values()
    assert stage.data["split"] == "judge" and stage.seed not in {other.seed for other in judged}
    assert all(other.data.get("split", "train") == "train" and other.family != "matcher" for other in judged)
    family = Matcher(vocab=4096, **stage.model)
    assert sum(p.numel() for p in family.parameters()) < 4e6
