"""The assembled hierarchy: requests, seeds, refusals, and stock diffusers drawing the same picture."""

from itertools import combinations

import numpy as np
import pytest
import torch

from tranh.families.enhancer import Enhancer
from tranh.recipes.elsewhere import embeds, export_decoder
from tranh.recipes.unclip import assemble
from tranh.types import Request, TranhError, capabilities


def pixels(image):
    return np.asarray(image).astype(int)


def test_capabilities(system):
    assert capabilities(system) == ("generates", "denoises", "embeds", "enlarges", "unclips")


def test_the_same_seed_gives_the_same_picture(system):
    first, again, other = (system.generate("a red circle", seed=s, size=64)[0] for s in (3, 3, 4))
    assert np.array_equal(pixels(first), pixels(again)) and not np.array_equal(pixels(first), pixels(other))


def test_picture_k_is_the_single_picture_of_seed_plus_k(system):
    many = system.generate("một hình tròn đỏ", count=3, seed=5, size=64)
    for k, image in enumerate(many):
        assert np.array_equal(pixels(image), pixels(system.generate("một hình tròn đỏ", seed=5 + k, size=64)[0]))


def test_a_batch_draws_what_single_requests_draw(system):
    together = system.generate_batch(["a red circle", "two blue cats"], [1, 2], size=64)
    for row, (prompt, seed) in enumerate((("a red circle", 1), ("two blue cats", 2))):
        alone = system.generate_batch([prompt], [seed], size=64)
        torch.testing.assert_close(together[row : row + 1], alone, atol=2e-4, rtol=0)


def test_a_negative_prompt_changes_the_picture(system):
    plain, without = (system.generate("a red circle", size=64, negative_prompt=n)[0] for n in ("", "a small blue cat"))
    assert not np.array_equal(pixels(plain), pixels(without))
    with pytest.raises(TranhError, match="giraffe"):
        system.generate("a red circle", negative_prompt="a giraffe")


def test_each_prior_and_none_drive_the_decoder(system):
    drawn = []
    for prior in ("diffusion", "autoregressive", "none"):
        *_, last = system.generate_events(Request("a red circle", size=64, prior=prior))
        assert last.done == last.total and last.result.settings[0]["prior"] == prior
        drawn.append(pixels(last.result.images[0]))
    assert not any(np.array_equal(a, b) for a, b in combinations(drawn, 2))


def test_large_pictures_come_from_the_upsampler(system):
    assert system.sizes == (64, 256) and system.generate("a red circle")[0].size == (256, 256)


def test_any_picture_is_enlarged_whole_or_in_tiles(system):
    for H, W in ((64, 64), (64, 100)):
        *_, last = system.enlarge(torch.rand(1, 3, H, W) * 2 - 1, [3], 2)
        assert last.x.shape == (1, 3, 4 * H, 4 * W) and last.index == last.steps == 2
    with pytest.raises(TranhError, match="32 x 40; tiny enlarges pictures of at least 64 px"):
        next(system.enlarge(torch.zeros(1, 3, 40, 32), [0]))


def test_an_enhancer_may_be_the_upsampler(parts, assets):
    torch.manual_seed(0)
    other = assemble(parts | {"upsampler": Enhancer(width=16, depth=1).eval()}, assets, {"name": "tiny", "steps": 2})
    assert other.generate("a red circle")[0].size == (256, 256)
    small = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        *_, last = other.enlarge(small, [0, 1])
        torch.testing.assert_close(last.x, other.upsampler.enlarged(small))  # untrained it is bicubic
    with pytest.raises(TranhError, match="should be a Upsampler or Enhancer"):
        assemble(parts | {"upsampler": parts["clip"]}, assets, {})


def test_settings_repeat_the_picture(system):
    result = list(system.generate_events(Request("Một Hình Tròn đỏ", seed=7, size=64)))[-1].result
    told = result.settings[0]
    assert told["prompt"] == "Một Hình Tròn đỏ" and told["seed"] == 7 and told["model"] == "tiny"
    again = system.generate(told["prompt"], seed=told["seed"], steps=told["steps"], guidance=told["guidance"], size=64)
    assert np.array_equal(pixels(result.images[0]), pixels(again[0]))


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (Request("a giraffe"), "giraffe"),
        (Request("   "), "no words"),
        (Request("a red circle", size=100), "64 or 256"),
        (Request("a red circle", count=0), "1 to 1000"),
        (Request("a red circle", steps=0), "1 to 1000"),
        (Request("a red circle", seed=-1), "2\\^62"),
        (Request("a red circle", guidance=-2.0), "0 to 100"),
        (Request("a red circle", prior="psychic"), "diffusion, autoregressive, none"),
        (Request("a red circle " * 60), "128"),
    ],
)
def test_refusals_say_what_is_allowed(system, request_, says):
    with pytest.raises(TranhError, match=says):
        list(system.generate_events(request_))


def test_direct_is_the_decoder_alone(parts, assets):
    alone = assemble({"decoder": parts["decoder"]}, assets, {"name": "direct", "steps": 2})
    assert alone.sizes == (64,) and alone.generate("a red circle")[0].size == (64, 64)


def test_without_a_decoder_it_is_refused(parts, assets):
    with pytest.raises(TranhError, match="no decoder"):
        assemble({"clip": parts["clip"]}, assets, {})


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_stock_diffusers_draws_the_same_picture(system, tmp_path, guidance):
    from diffusers import FlowMatchEulerDiscreteScheduler, PRXPixelPipeline, PRXTransformer2DModel

    folder = export_decoder(system, tmp_path)
    pipeline = PRXPixelPipeline(
        PRXTransformer2DModel.from_pretrained(folder, subfolder="transformer"),
        FlowMatchEulerDiscreteScheduler.from_pretrained(folder, subfolder="scheduler"),
        text_encoder=None,
        tokenizer=None,
        default_sample_size=64,
        noise_scale=1.0,
    )
    pipeline.set_progress_bar_config(disable=True)
    told = embeds(system, "a red circle", seed=3)
    noise = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(3))[None]
    theirs = pipeline(
        **told, latents=noise, height=64, width=64, num_inference_steps=6, guidance_scale=guidance,
        use_resolution_binning=False, output_type="pt",
    ).images  # fmt: skip
    ours = system.generate_batch(["a red circle"], [3], size=64, steps=6, guidance=guidance)
    torch.testing.assert_close(theirs.clamp(-1, 1), ours, atol=1e-3, rtol=0)
