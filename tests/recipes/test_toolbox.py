"""The toolbox of embedding and noise, on a tiny hierarchy and once on the shipped one."""

import numpy as np
import pytest
import torch
from PIL import Image

from tranh.data.scenes.draw import render
from tranh.data.scenes.layout import scene
from tranh.edits import invert
from tranh.families.editor import Editor
from tranh.recipes import models, toolbox
from tranh.recipes.beside import Beside
from tranh.recipes.unclip import assemble
from tranh.types import Request, TranhError, Unclips, capabilities

PICTURE = Image.fromarray(render(scene("one", "test", 0), 64))
OTHER = Image.fromarray(render(scene("one", "test", 1), 64))


def made(events):
    *_, last = events
    return last.result


def pixels(pictures):
    return np.stack([np.asarray(one) for one in pictures.images])


def asked(prompt="", **how):
    return Request(prompt, image=PICTURE, **{"steps": 4} | how)


def test_the_hierarchy_unclips(system):
    assert isinstance(system, Unclips) and "unclips" in capabilities(system)
    z = torch.nn.functional.normalize(torch.randn(2, 16), dim=-1)
    x, t = torch.randn(2, 3, 64, 64), torch.tensor([0.5, 0.9])
    out = system.unclip(z, ["a red circle", ""], 2.0)(x, t)
    assert out.shape == x.shape
    alone = system.unclip(z[:1], ["a red circle"], 2.0)(x[:1], t[:1])
    torch.testing.assert_close(out[:1], alone, atol=1e-4, rtol=1e-4)
    tokens, mask = system.tokenizer.encode(["a red circle"])
    plain = system.guided(tokens, mask, z[:1], 2.0)(x[:1], t[:1])
    torch.testing.assert_close(alone, plain, atol=1e-4, rtol=1e-4)


def test_an_editor_draws_embeddings_and_the_decoder_prompts(parts, assets):
    torch.manual_seed(5)
    sizes = {k: parts["decoder"].config[k] for k in ("vocab", "max_len", "clip_dim", "text_dim", "text_depth")}
    editor = Editor(**sizes, text_heads=2, hidden_size=64, depth=2, num_heads=2, label_tap=1).eval()
    for p in editor.parameters():
        torch.nn.init.normal_(p, std=0.05)
    both, plain = (assemble(parts, assets, {"name": "tiny", "steps": 2}) for _ in range(2))
    both.beside = Beside({"editor": editor}, assets, {})
    z, x, t = torch.eye(16)[:1], torch.randn(1, 3, 64, 64), torch.tensor([0.5])
    assert not torch.allclose(both.unclip(z, [""], 1.0)(x, t), plain.unclip(z, [""], 1.0)(x, t))
    assert np.array_equal(
        np.asarray(both.generate("a red circle", size=64)[0]), np.asarray(plain.generate("a red circle", size=64)[0])
    )


def test_a_picture_and_its_seed_say_everything(system):
    both = made(toolbox.vary(system, asked(count=2, seed=3)))
    alone = made(toolbox.vary(system, asked(seed=4)))
    assert np.array_equal(pixels(both)[1], pixels(alone)[0])
    assert not np.array_equal(pixels(both)[0], pixels(both)[1])
    assert [told["seed"] for told in both.settings] == [3, 4]
    listed = made(toolbox.vary(system, asked(seeds=(4, 3))))
    assert np.array_equal(pixels(listed), pixels(both)[::-1])


def test_the_dial_reaches_from_the_picture_to_its_embedding_alone(system):
    again = made(toolbox.vary(system, asked(strength=0.0, seed=9)))
    other = made(toolbox.vary(system, asked(strength=0.0, seed=10)))
    assert np.array_equal(pixels(again), pixels(other))
    far = made(toolbox.vary(system, asked(strength=1.0, seed=9)))
    assert not np.array_equal(pixels(again), pixels(far))


def test_best_of_k_is_drawn_alone_by_the_seed_it_names(system):
    best = made(toolbox.vary(system, asked(candidates=3, seed=1)))
    told = best.settings[0]
    assert told["candidates"] == 3 and -1 <= told["similarity"] <= 1
    alone = made(toolbox.vary(system, asked(seed=told["chosen_seed"])))
    assert np.array_equal(pixels(best), pixels(alone))


def test_a_text_diff_of_strength_nought_gives_the_reconstruction(system):
    said = "a red circle"
    back = made(toolbox.reconstruct(system, asked(source=said, seed=2)))
    same = made(toolbox.diff(system, asked("a blue circle", source=said, strength=0.0, seed=2)))
    assert np.abs(pixels(back).astype(int) - pixels(same)).max() <= 1
    moved = made(toolbox.diff(system, asked("a blue circle", source=said, seed=2)))
    assert not np.array_equal(pixels(moved), pixels(back))
    assert moved.settings[0]["edit"] == "textdiff" and moved.settings[0]["source"] == said


def test_a_walk_begins_and_ends_at_the_reconstructions(system):
    walk = made(toolbox.interpolate(system, asked(other=OTHER, frames=3)))
    ends = [made(toolbox.reconstruct(system, Request("", image=image, steps=4))) for image in (PICTURE, OTHER)]
    assert len(walk.images) == 3
    for k, end in ((0, ends[0]), (2, ends[1])):
        assert np.abs(pixels(walk)[k].astype(int) - pixels(end)[0]).max() <= 1


def test_a_sweep_stands_still_in_the_middle(system, tmp_path):
    sweep = made(toolbox.swept(system, asked(frames=3), component=2))
    back = made(toolbox.reconstruct(system, asked()))
    assert np.abs(pixels(sweep)[1].astype(int) - pixels(back)[0]).max() <= 1
    assert [round(told["amount"]) for told in sweep.settings] == [-3, 0, 3]
    for i in range(9):
        Image.fromarray(render(scene("one", "train", i), 32)).save(tmp_path / f"{i}.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG no picture")
    found = made(toolbox.swept(system, asked(frames=2), 1, tmp_path))
    assert len(found.images) == 2


def test_what_cannot_be_is_refused_before_any_step(system, parts, assets, tmp_path):
    alone = assemble({"decoder": parts["decoder"]}, assets, {"name": "direct", "steps": 2})

    def refused(events):
        with pytest.raises(TranhError) as error:
            next(iter(events))
        return str(error.value)

    assert "no CLIP" in refused(toolbox.vary(alone, asked()))
    assert "tranh-1" in refused(toolbox.vary(object(), asked()))
    assert "no picture" in refused(toolbox.vary(system, Request("")))
    assert "two pictures" in refused(toolbox.interpolate(system, asked()))
    assert "giraffe" in refused(toolbox.vary(system, asked(source="a giraffe")))
    assert "strength is 2" in refused(toolbox.vary(system, asked(strength=2.0)))
    assert "at least 4" in refused(toolbox.vary(system, asked(steps=2)))
    assert "should show" in refused(toolbox.diff(system, asked()))
    assert "frames is 1" in refused(toolbox.interpolate(system, asked(other=OTHER, frames=1)))
    assert "1 to 8" in refused(toolbox.swept(system, asked(), component=9))
    assert "at least 8" in refused(toolbox.swept(system, asked(), folder=tmp_path))
    no_prior = assemble({k: v for k, v in parts.items() if k != "ar_prior"}, assets, {"name": "plain"})
    assert "--folder" in refused(toolbox.swept(no_prior, asked()))


def test_what_is_not_of_its_world_is_said(system):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8))
    notices = made(toolbox.reconstruct(system, Request("", image=noise, steps=4))).notices
    assert any("70 x 50" in notice for notice in notices) and any("world" in notice for notice in notices)


def test_gradients_are_not_kept_and_none_are_left_off(system):
    for _ in toolbox.reconstruct(system, asked()):
        assert torch.is_grad_enabled()
    assert torch.is_grad_enabled()


@pytest.mark.timeout(120)
def test_the_shipped_model_draws_a_picture_again():
    result = made(toolbox.reconstruct(models.load("tranh-1"), Request("", image=PICTURE, size=64)))
    told = result.settings[0]
    assert told["psnr"] > 25 and not result.notices and told["steps"] == invert.STEPS
    assert abs(told["noise_mean"]) < 0.05 and abs(told["noise_variance"] - 1) < 0.05
