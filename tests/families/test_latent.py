"""Latent diffusion: its schedule, its captions' padding, and what it hands to stock diffusers."""

import numpy as np
import pytest
import torch

from tranh.engine.doctor.behaviour import errors_by_time
from tranh.families.clip import Clip
from tranh.families.kl import Kl
from tranh.families.latent import SCHEDULE, Latent, zero_snr
from tranh.nn.stock import stock_state
from tranh.recipes.doctor import Within, denoiser_of
from tranh.text.tokenizer import EMPTY, TooLong
from tranh.types import Batch, Phase, TranhError

LEARNS = {"steps": 100, "lr": 2e-3, "muon_lr": 8e-3}


def parents():
    torch.manual_seed(1)
    clip = Clip(
        vocab=50, max_len=16, image_size=16, patch=8, dim=16, vision_width=32, vision_depth=1, vision_heads=2,
        text_width=32, text_depth=2, text_heads=2,
    )  # fmt: skip
    kl = Kl(image_size=16, channels=[8, 16], groups=4, latent_channels=4)
    return {"clip": clip.eval(), "kl": kl.eval()}


def tiny(met=None, **changes):
    torch.manual_seed(0)
    options = dict(
        vocab=50, max_len=12, image_size=16, factor=2, latent_channels=4, text_dim=32, channels=[16, 32], heads=2,
        groups=4, steps=5,
    )  # fmt: skip
    family = Latent(**(options | changes))
    family.meet(met or parents())
    return family


def batch(family, size=4):
    g = torch.Generator().manual_seed(1)
    tokens = torch.randint(4, 50, (size, 8), generator=g)
    tokens[:, 0], tokens[:, 5], tokens[:, 6:] = 2, 1, 0
    images = torch.nn.functional.interpolate(torch.rand(size, 3, 4, 4, generator=g) * 2 - 1, scale_factor=4)
    b = Batch(images, [""] * size, tokens, tokens != 0, torch.arange(size))
    told = {name: part.outputs(b) | part.image_outputs(images) for name, part in family.met.items()}
    return b.replace(parts={f"{name}.{k}": v for name, found in told.items() for k, v in found.items()})


def toy():
    """For the contract."""
    family = tiny()
    b = batch(family)
    family.prepare([b])
    return family, b


def test_its_schedule_is_diffusers():
    from diffusers import DDIMScheduler, EulerDiscreteScheduler

    ours = zero_snr()
    told = dict(SCHEDULE)
    torch.testing.assert_close(
        ours.alpha_bar.float()[:-1], DDIMScheduler(**told).alphas_cumprod[:-1], atol=1e-6, rtol=1e-4
    )
    euler = EulerDiscreteScheduler(**told)
    torch.testing.assert_close(ours.alpha_bar.float(), euler.alphas_cumprod, atol=1e-6, rtol=1e-4)
    for steps in (1, 7, 20, 33):
        euler.set_timesteps(steps)
        sigmas = torch.from_numpy(np.asarray(euler.sigmas)).double()
        torch.testing.assert_close(ours.grid(steps, "trailing"), sigmas / (1 + sigmas), atol=1e-6, rtol=1e-4)


def test_latents_are_brought_to_unit_variance():
    family, b = toy()
    assert abs((family.scale * b.parts["kl.latent"]).std().item() - 1) < 1e-5


def test_the_doctor_asks_it_about_latents():
    """Not about pictures, which its network could not even take."""
    family = tiny().eval()
    b = batch(family)
    assert isinstance(family, Within) and family.clean(b).shape == b.parts["kl.latent"].shape != b.images.shape
    errors = errors_by_time(denoiser_of(family, b), family.clean(b))
    assert all(0 < e < 100 for e in errors)


def test_the_loss_is_the_error_of_the_velocity():
    family, b = toy()
    drawn = []
    family.velocity = lambda y, n, context: drawn.append(n) or torch.zeros_like(y)
    many = b.replace(
        **{k: torch.cat([getattr(b, k)] * 64) for k in ("images", "tokens", "mask", "ids")},
        captions=[""] * 256,
        parts={"kl.latent": torch.cat([b.parts["kl.latent"]] * 64)},
    )
    loss = family(many, Phase("train", 0, 1, torch.Generator().manual_seed(0)))["loss"]
    # a^2 + s^2 = 1, z and eps of unit variance (z about its mean, which adds little at the low end)
    z = family.scale * b.parts["kl.latent"]
    bar = family.schedule.alpha_bar[drawn[0]].mean()
    assert abs(loss.item() - (bar + (1 - bar) * z.square().mean()).item()) < 0.02


def test_how_wide_a_batch_was_padded_does_not_matter():
    family, b = toy()
    wide = torch.nn.functional.pad(b.tokens, (0, 8), value=9)  # what is under the mask is never read
    real = torch.nn.functional.pad(b.mask, (0, 8))
    narrow = family.padded(b.tokens[:, :6], b.mask[:, :6])
    assert torch.equal(narrow, family.padded(wide, real)) and narrow.shape == (4, 12)
    pictures = []
    for tokens, mask in ((b.tokens[:, :6], b.mask[:, :6]), (wide, real)):
        with torch.no_grad():
            *_, last = family.draw(tokens, mask, range(4), steps=2)
        pictures.append(last.x)
    assert torch.equal(*pictures)


def test_the_empty_caption_is_what_a_stock_tokenizer_makes_of_it():
    family, _ = toy()
    none, mask = torch.tensor([EMPTY]), torch.ones(1, 3, dtype=torch.bool)
    assert family.padded(none, mask).tolist() == [[2, 1] + [0] * 10]
    some = torch.tensor([[2, 7, 8, 1]])
    kept = torch.ones(1, 4, dtype=torch.bool)
    assert family.padded(some, kept, torch.tensor([True])).tolist() == [[2, 1] + [0] * 10]
    assert family.padded(some, kept, torch.tensor([False])).tolist() == [[2, 7, 8, 1] + [0] * 8]


def test_a_long_caption_is_cut_in_training_and_refused_in_drawing():
    family, _ = toy()
    tokens = torch.tensor([[2, *range(4, 18), 1], [2, 5, 6, 1, *[0] * 12]])
    cut = family.padded(tokens, tokens != 0)
    assert cut[0].tolist() == [2, *range(4, 14), 1] and cut[1].tolist() == [2, 5, 6, 1] + [0] * 8
    with pytest.raises(TooLong, match="16 tokens and this model reads 12"):
        next(family.draw(tokens, tokens != 0, [0, 1]))


def test_its_caption_states_are_those_of_transformers():
    from transformers import CLIPTextConfig, CLIPTextModel

    family, b = toy()
    tower = family.met["clip"].text_model
    theirs = CLIPTextModel(
        CLIPTextConfig(vocab_size=50, hidden_size=32, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
                       max_position_embeddings=16, hidden_act="gelu_pytorch_tanh", eos_token_id=1)
    ).eval()  # fmt: skip
    theirs.load_state_dict(tower.state_dict(), strict=False)
    tokens = family.padded(b.tokens, b.mask)
    with torch.no_grad():
        torch.testing.assert_close(family.context(tokens), theirs(tokens).last_hidden_state, atol=1e-5, rtol=1e-4)


def test_its_network_is_that_of_diffusers():
    from diffusers import UNet2DConditionModel

    family, b = toy()
    theirs = UNet2DConditionModel.from_config(family.unet.config).eval()
    theirs.load_state_dict(stock_state(family.unet))
    context = family.context(family.padded(b.tokens, b.mask))
    y, n = torch.randn(4, 4, 8, 8), torch.tensor([0, 10, 500, 999])
    with torch.no_grad():
        torch.testing.assert_close(
            family.eval().velocity(y, n, context), theirs(y, n, context).sample, atol=1e-4, rtol=1e-4
        )


def test_guidance_and_what_to_move_away_from_change_the_picture():
    family, b = toy()
    torch.manual_seed(3)
    for p in family.unet.parameters():
        torch.nn.init.normal_(p, std=0.1)
    away = (b.tokens[:1, :6], b.mask[:1, :6])
    drawn = []
    with torch.no_grad():
        for told in ({"guidance": 1.0}, {"guidance": 4.0}, {"guidance": 4.0, "away": away}):
            *_, last = family.draw(b.tokens[1:3], b.mask[1:3], [5, 6], steps=4, **told)
            drawn.append(last.x)
    assert (drawn[0] - drawn[1]).abs().max() > 1e-3 and (drawn[1] - drawn[2]).abs().max() > 1e-3


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(TranhError, match="text_width 32 and latent text_dim 48"):
        tiny(text_dim=48)
    lonely = Latent(vocab=50, max_len=12, image_size=16, factor=2, text_dim=32, channels=[16, 32], groups=4)
    with pytest.raises(TranhError, match="train that stage"):
        lonely.context(torch.zeros(1, 12, dtype=torch.long))
