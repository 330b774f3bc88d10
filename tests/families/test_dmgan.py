"""DM-GAN: contract, conditioning augmentation, stages, and maps of what each word was read for."""

import torch
from test_gan import batch, phase, small_clip

from tranh.engine.doctor import before
from tranh.families.dmgan import DmGan
from tranh.families.vae import Vae
from tranh.nn.coders import PatchDecoder
from tranh.nn.rivalry import coarse
from tranh.types import Stage


def tiny(**changes):
    torch.manual_seed(0)
    options = dict(
        vocab=50, max_len=12, text_dim=32, text_depth=1, text_heads=2, image_size=16, noise=8, dim=32,
        depth=1, heads=2, widths=[32, 16], memory=16, critic_width=16, critic_convolutions=1, critic_dim=32,
        critic_depth=1, critic_heads=2,
    )  # fmt: skip
    family = DmGan(**(options | changes))
    family.meet({"clip": small_clip()})
    return family


LEARNS = dict(steps=40, lr=2e-3, muon_lr=4e-3)


def toy():
    """For the contract."""
    return tiny(), batch()


def test_augmentation_is_the_papers():
    family, b = tiny(), batch()
    torch.nn.init.normal_(family.prior.out.weight, std=0.1)
    with torch.no_grad():
        words = family.text(b.tokens, b.mask)
        mu, logvar = family.prior((words, b.mask))
        drawn, eps = [], torch.randn(6, 8)
        family.painter.tokens = lambda z, caption: drawn.append(z) or PatchDecoder.tokens(family.painter, z, caption)
        _, _, kl = family.make(words, b.mask, eps)
    said = torch.distributions.Normal(mu, (0.5 * logvar).exp())
    torch.testing.assert_close(kl, torch.distributions.kl_divergence(said, torch.distributions.Normal(0.0, 1.0)).sum(1))
    torch.testing.assert_close(drawn[0], mu + logvar.exp().sqrt() * eps)
    assert kl.min() > 1e-3


def test_each_stage_doubles_the_picture_and_reads_the_words():
    family, b = tiny(widths=[32, 24, 16]), batch()
    family.eval()
    mask = b.mask.clone()
    mask[:, 6:] = False
    with torch.no_grad():
        pictures, alphas, _ = family.make(family.text(b.tokens, mask), mask, torch.randn(6, 8))
        assert [x.shape[-1] for x in pictures] == [4, 8, 16]
        first, second = family.attention(b.tokens, mask, range(6))
    assert first.shape == (6, 8, 2, 2) and second.shape == (6, 8, 4, 4) and [a.shape[1] for a in alphas] == [4, 16]
    torch.testing.assert_close(second.sum(1), torch.ones(6, 4, 4))
    assert not second[:, 6:].any()


def test_every_picture_is_the_first_changed_by_what_was_read():
    family, b = tiny(), batch()
    z, words = torch.randn(6, 8), torch.randn(6, 8, 32)
    with torch.no_grad():
        (first, last), _, _ = family.make(words, b.mask, z)
        for head in family.heads:
            torch.nn.init.zeros_(head[1].weight)
        (plain_first, plain), _, _ = family.make(words, b.mask, z)
    torch.testing.assert_close(plain_first, coarse(plain, 8))  # nothing read: the painter's, at every size
    assert (first - plain_first).abs().max() > 1e-4 and (last - plain).abs().max() > 1e-4


def test_a_painter_lends_all_that_draws():
    vae = Vae(
        vocab=50, max_len=12, text_dim=32, text_depth=1, text_heads=2, image_size=16, form="transformer", width=32,
        depth=1, heads=2, patch=4, latent=8,
    )  # fmt: skip
    family, b = tiny(), batch()
    assert family.load_state_dict(family.adopt(vae.state_dict()))
    for head in family.heads:
        torch.nn.init.zeros_(head[1].weight)
    (drawn,) = vae.eval().draw(b.tokens, b.mask, range(6))
    *_, last = family.eval().draw(b.tokens, b.mask, range(6))
    torch.testing.assert_close(last.x, drawn.x)


def test_every_stage_has_a_judge_and_all_of_the_loss_is_there():
    family, b = tiny(), batch()
    assert len(family.critics) == len(family.stages) + 1 == 2
    with torch.no_grad():
        found = family(b, phase("generator"))
        assert {"augmentation", "match", "distance", "diversity"} <= set(found)
        without = tiny(augmentation=0.0, match=0.0, anchor=0.0)
        alone = without(b, phase("generator", 50))
    torch.testing.assert_close(alone["loss"], 0.5 * alone["fool"])  # half of the run is over
    told = tiny(anchor=0.0)
    with torch.no_grad():
        found = told(b, phase("generator", 50))
    expected = 0.5 * found["fool"] + told.augmentation * found["augmentation"] + told.match * found["match"]
    torch.testing.assert_close(found["loss"], expected)


def test_an_equal_caption_is_no_wrong_one():
    family, b = tiny(), batch()
    same = b.replace(tokens=b.tokens[:1].expand(6, -1).contiguous())
    with torch.no_grad():
        assert float(family(same, phase("discriminator"))["read"]) == 0
        assert torch.isfinite(family(same, phase("discriminator"))["loss"])


def test_the_steps_of_drawing_are_the_stages():
    family, b = tiny(), batch()
    with torch.no_grad():
        steps = list(family.draw(b.tokens, b.mask, range(6)))
    assert [s.steps for s in steps] == [2, 2] and torch.equal(steps[-1].x, steps[0].x0)


def test_the_doctor_lets_it_start():
    stage = Stage("dmgan", batch=6, lr=1e-3, muon_lr=2e-3, precision="fp32")
    found = before(tiny(), [batch()] * 2, stage, steps=10)
    assert {f.name for f in found} >= {"learns one batch", "captions reach the network", "all parts get a gradient"}
    assert all(f.ok for f in found), [str(f) for f in found if not f.ok]
