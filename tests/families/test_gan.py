"""The GAN: contract, who is updated when, what the discriminator is told, and captions of classes."""

import pytest
import torch
import torch.nn.functional as F

from tranh.engine.contract import overfit_one_batch
from tranh.engine.doctor import before
from tranh.families.clip import Clip
from tranh.families.gan import Gan
from tranh.families.vae import Vae
from tranh.types import Batch, Phase, Stage


def small_clip():
    torch.manual_seed(3)
    return Clip(
        vocab=50, max_len=12, image_size=16, patch=8, dim=16, vision_width=16, vision_depth=1, vision_heads=2,
        text_width=16, text_depth=1, text_heads=2,
    ).eval().requires_grad_(False)  # fmt: skip


def tiny(clip=None, **changes):
    torch.manual_seed(0)
    options = dict(
        vocab=50, max_len=12, text_dim=32, text_depth=1, text_heads=2, image_size=16, noise=8, dim=32, depth=2,
        heads=2, patch=4, critic_patch=2, critic_width=16, critic_convolutions=1, critic_dim=32, critic_depth=1,
        critic_heads=2,
    )  # fmt: skip
    family = Gan(**(options | changes))
    family.meet({"clip": clip or small_clip()})
    return family


def batch(clip=None, size=6):
    g = torch.Generator().manual_seed(1)
    tokens = torch.randint(4, 50, (size, 8), generator=g)
    tokens[:, 0], tokens[:, 7] = 2, 1
    images = F.interpolate(torch.rand(size, 3, 4, 4, generator=g) * 2 - 1, 16)
    mask = torch.ones_like(tokens, dtype=torch.bool)
    text = (clip or small_clip()).embed_texts(tokens, mask)
    said = [f"thing {k}" for k in range(size)]
    return Batch(images, said, tokens, mask, torch.arange(size), {}, {"clip.text": text})


LEARNS = dict(steps=40, lr=2e-3, muon_lr=4e-3)


def toy():
    """For the contract."""
    return tiny(), batch()


def phase(name, step=0):
    return Phase(name, step, 100, torch.Generator().manual_seed(0))


def test_each_phase_updates_its_own_side_and_both_sides_are_updated():
    family = tiny()
    one, other = (
        {id(p) for group in family.param_groups(name) for p in group.params} for name in ("discriminator", "generator")
    )
    assert not one & other and one | other == {id(p) for p in family.parameters()}


def test_the_discriminator_is_asked_about_true_made_and_mistold_pictures():
    family, b = tiny(), batch()
    asked = []

    class Asked(type(family.critic)):
        def judge(self, seen, words, mask):
            asked.append((seen, words))
            return super().judge(seen, words, mask)

    family.critic.__class__ = Asked
    with torch.no_grad():
        family(b, phase("discriminator"))
    (seen, words), (again, others), (made, own) = asked[:3]
    assert torch.equal(seen, again) and torch.equal(others, words.roll(1, 0)) and torch.equal(own, words)
    assert torch.equal(seen, family.critic.see(b.images)) and not torch.equal(made, seen)


def test_an_equal_caption_is_no_wrong_one():
    family, b = tiny(), batch()
    same = b.replace(tokens=b.tokens[:1].expand(6, -1).contiguous())
    with torch.no_grad():
        assert float(family(b, phase("discriminator"))["loss"]) > 0
        found = family(same, phase("discriminator"))
    tell = found["loss"] - family.penalty / 2 * found["slope"]
    assert torch.isfinite(found["loss"]) and float(found["read"]) == 0
    assert 0 < float(tell) < 2.5  # true against made alone: about log 2


def test_the_generator_is_pulled_by_discriminator_and_clip_and_only_it_gets_gradients():
    for changes in ({"match": 0.0, "anchor": 0.0}, {"match": 1.0, "anchor": 0.0}, {"match": 0.0, "anchor": 1.0}):
        family = tiny(**changes)
        for p in family.parameters():
            torch.nn.init.normal_(p, std=0.1)
        own = {id(p) for g in family.param_groups("generator") for p in g.params}
        for p in family.parameters():
            p.requires_grad_(id(p) in own)
        family(batch(), phase("generator", 50))["loss"].backward()
        for p in family.parameters():
            assert (p.grad is not None and bool(p.grad.any())) == (id(p) in own)


def test_the_anchor_lifts_as_trust_grows_and_clip_is_optional():
    family = tiny(anchor_until=0.5, match=0.0, trust=0.5)
    assert family.parents == () and tiny().parents == ("clip",)
    with torch.no_grad():
        early, late = (family(batch(), phase("generator", step)) for step in (0, 60))
        free = tiny(anchor=0.0, match=0.0)(batch(), phase("generator", 0))
    assert float(early["loss"]) > 0 == float(free["loss"])  # at first the anchor alone says anything
    assert float(late["loss"]) == pytest.approx(0.5 * 0.6 * float(late["fool"]))


def test_the_doctor_lets_it_start():
    stage = Stage("gan", batch=6, lr=1e-3, muon_lr=2e-3, precision="fp32")
    found = before(tiny(depth=1), [batch()] * 2, stage, steps=10)
    assert {f.name for f in found} >= {"learns one batch", "captions reach the network", "all parts get a gradient"}
    assert all(f.ok for f in found), [str(f) for f in found if not f.ok]


def test_collapsed_modes_are_seen_in_the_log():
    family, b = tiny(), batch()
    with torch.no_grad():
        alive = float(family(b, phase("generator"))["diversity"])
        torch.nn.init.zeros_(family.generator.token.weight)
        torch.nn.init.zeros_(family.generator.vec[0].weight[:, :8])
        collapsed = float(family(b, phase("generator"))["diversity"])
    assert alive > 1e-3 and collapsed < 1e-6


def test_a_reader_lends_its_words():
    family = tiny()
    lent = {k: torch.randn_like(v) for k, v in family.state_dict().items() if k.startswith("text.")}
    family.load_state_dict(dict(family.adopt(lent | {"questions.queries": torch.zeros(3)})))
    assert torch.equal(family.text.tokens.weight, lent["text.tokens.weight"])


def test_a_painter_lends_all_that_draws():
    vae = Vae(
        vocab=50, max_len=12, text_dim=32, text_depth=1, text_heads=2, image_size=16, form="transformer", width=32,
        depth=2, heads=2, patch=4, latent=8,
    )  # fmt: skip
    torch.nn.init.normal_(vae.prior.out.weight, std=0.1)
    family, b = tiny(), batch()
    family.load_state_dict(dict(family.adopt(vae.state_dict())))
    (drawn,) = vae.eval().draw(b.tokens, b.mask, range(6))
    (made,) = family.eval().draw(b.tokens, b.mask, range(6))
    torch.testing.assert_close(made.x, drawn.x)


@pytest.fixture(scope="module")
def taught():
    """A GAN that knows two classes by heart, by nothing but their captions; and their pictures."""
    b = batch()
    bright = torch.stack([torch.full((3, 16, 16), v) for v in (0.8, -0.8)] * 4)
    tokens = b.tokens[:2].repeat(4, 1)
    classes = Batch(bright, [""] * 8, tokens, torch.ones_like(tokens, dtype=torch.bool), torch.arange(8))
    family = tiny(match=0.0, depth=1)
    overfit_one_batch(family, classes, steps=40, lr=3e-3)
    return family.eval(), classes


def test_captions_of_classes_change_the_class(taught):
    family, classes = taught
    with torch.no_grad():
        *_, last = family.draw(classes.tokens, classes.mask, range(50, 58))
    made = last.x.mean((1, 2, 3))
    assert bool((made[0::2] > 0.3).all()) and bool((made[1::2] < -0.3).all())
