"""Walks of a request: keys and seeds, the picture at a key, sizes, refusals."""

import numpy as np
import pytest
import torch
from PIL import Image

from tranh.families.vae import Vae
from tranh.recipes.system import assemble as alone
from tranh.recipes.unclip import UnClip
from tranh.recipes.walks import animate
from tranh.types import Request, TranhError


class Walked(UnClip):
    """The hierarchy with what a walk asks for."""

    def embed_images(self, images):
        return self.clip.embed_images(images)

    def embed_texts(self, tokens, mask):
        return self.clip.embed_texts(tokens, mask)

    def unclip(self, embeddings, prompts, guidance=None):
        return self.guided(*self.tokenizer.encode(list(prompts), multiple=8), embeddings, guidance)


@pytest.fixture(scope="module")
def walked(parts, assets):
    return Walked(parts, assets, {"name": "tiny", "steps": 2, "prior_steps": 2})


def picture(seed, side=70):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side + 9, 3), dtype=np.uint8))


def frames(system, keys, seeds=(), loop=True, rounds=0, **asked):
    *events, last = animate(system, Request("", **asked), keys, seeds, loop=loop, rounds=rounds)
    assert all(0 < event.done <= event.total for event in events)
    return last.result


def pixels(image):
    return np.asarray(image).astype(int)


def test_at_its_prompt_a_walk_shows_the_picture_of_the_prompt(walked):
    walk = frames(walked, ["a red circle", "một ngôi sao xanh"], frames=4, seed=5)
    assert len(walk.images) == len(walk.settings) == 4 and {i.size for i in walk.images} == {(64, 64)}
    for k, prompt in ((0, "a red circle"), (2, "một ngôi sao xanh")):
        own = walked.generate(prompt, seed=5, size=64)[0]
        assert np.abs(pixels(walk.images[k]) - pixels(own)).max() <= 1
    assert walk.settings[0]["seeds"] == [5, 5] and walk.settings[0]["prompt"] == "a red circle | một ngôi sao xanh"


def test_one_prompt_is_walked_through_seeds(walked):
    walk = frames(walked, ["a red circle"], [3, 9], frames=4)
    for k, seed in ((0, 3), (2, 9)):
        assert (
            np.abs(pixels(walk.images[k]) - pixels(walked.generate("a red circle", seed=seed, size=64)[0])).max() <= 1
        )
    assert frames(walked, ["a red circle"], frames=3, seed=7).settings[0]["seeds"] == [7, 8, 9]


def test_an_open_walk_ends_at_its_last_key(walked):
    walk = frames(walked, ["a red circle", "a blue square"], frames=3, loop=False)
    own = walked.generate("a blue square", size=64)[0]
    assert np.abs(pixels(walk.images[-1]) - pixels(own)).max() <= 1


def test_pictures_are_keys_too_and_strangers_are_named(walked):
    walk = frames(walked, [picture(0), "a red circle"], frames=2)
    assert walk.settings[0]["prompt"] == "(picture) | a red circle"
    assert any("unlike all that tiny was trained on" in notice for notice in walk.notices)


def test_frames_may_be_enlarged(walked):
    walk = frames(walked, ["a red circle"], [1, 2], frames=2, size=256)
    assert {i.size for i in walk.images} == {(256, 256)}


def test_the_pace_is_told_before_and_after(walked):
    told = frames(walked, ["a red circle", "a blue square"], frames=4, rounds=1).settings[0]
    assert told["unevenness"] >= 0 and told["unevenness before"] >= 0


def test_latents_are_walked_between_pictures(assets):
    torch.manual_seed(0)
    system = alone({"vae": Vae(image_size=16, width=16, latent=4).eval()}, assets, {"name": "small"})
    walk = frames(system, [picture(0), picture(1)], frames=4)
    assert {i.size for i in walk.images} == {(16, 16)} and np.array_equal(walk.images[1], walk.images[3])
    with pytest.raises(TranhError, match="walks between pictures"):
        frames(system, ["a red circle", picture(0)])


@pytest.mark.parametrize(
    "keys, seeds, asked, says",
    [
        ([], (), {}, "needs something to pass"),
        (["a red circle"], (1,), {}, "1 keys and 1 seeds"),
        (["a red circle", "a blue square"], (1, 2, 3), {}, "2 keys and 3 seeds"),
        (["a red circle", "a blue square"], (), {"frames": 1}, "a walk of 2 keys takes 2 to"),
        (["a red circle", "a blue square"], (), {"size": 100}, "of 64 px are drawn here, or of 256; 100"),
        (["a red circle", "a giraffe"], (), {}, "giraffe"),
    ],
)
def test_refusals(walked, keys, seeds, asked, says):
    with pytest.raises(TranhError, match=says):
        next(animate(walked, Request("", **asked), keys, seeds))


def test_who_has_no_space_to_walk_through_says_what_it_does():
    with pytest.raises(TranhError, match=r"object has no space to walk through \(it does nothing\)"):
        next(animate(object(), Request(""), ["a red circle", "a blue square"]))
