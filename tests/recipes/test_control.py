"""Weights, regions, seeds and times of guidance: what a request says, and what a tiny hierarchy makes of it."""

import numpy as np
import pytest
import torch
from PIL import Image

from tranh.recipes.control import control_of
from tranh.recipes.system import Alone
from tranh.text.prompt import Prompt
from tranh.types import Region, Request, Step, TranhError, Walks

LEFT = Region("a blue star", 0.0, 0.0, 0.5, 1.0)


def drawn(system, prompt="a red circle", **how):
    *_, last = system.generate_events(Request(prompt, size=64, **how))
    return last.result


def pixels(result):
    return np.stack([np.asarray(image) for image in result.images]).astype(int)


class Plain:
    """Takes prompts as they are."""

    lexicons, words = (), ()

    def understand(self, prompt, allow_unknown=False):
        return Prompt(prompt, prompt, "en")


plain = Plain()


def far(a, b):
    """Largest difference of two sets of pictures, in levels."""
    return np.abs(pixels(a) - pixels(b)).max()


def test_a_plain_request_has_nothing_to_steer():
    assert control_of(Request("a red circle (large)"), plain).names == ()
    used = control_of(Request("a (red:2) circle", regions=[LEFT], guidance_interval=(0.1, 0.5)), plain)
    assert used.names == ("weights", "regions", "guidance_interval")


def test_weights_are_found_again_in_what_was_understood(system):
    said = system.checked_control(Request("Hình TRÒN (đỏ:1.5) lớn")).whole
    words = said.prompt.text.split()
    assert [words[span.first : span.last] for span in said.spans] == [["đỏ"]]


def test_a_weight_of_one_is_no_weight_and_others_move_the_picture_evenly(system):
    how = {"guidance": 2.0, "seed": 3}
    base = drawn(system, prior="none", **how)
    assert far(drawn(system, "a (red:1) circle", **how), base) <= 1
    unsaid = drawn(system, "a (red:0) circle", **how)
    assert far(unsaid, drawn(system, "a circle", prior="none", **how)) <= 1 and unsaid.settings[0]["prior"] == "none"
    apart = [np.abs(pixels(drawn(system, f"a (red:{w}) circle", **how)) - pixels(base)).mean() for w in (1.5, 2, 3)]
    assert 0 < apart[0] < apart[1] < apart[2]


def test_weights_act_on_estimates_in_proportion(system):
    x, t = torch.randn(1, 3, 64, 64), torch.tensor([0.7])

    def told(words, embedded):
        tokens, mask = system.tokenizer.encode([words])
        return system.guided(tokens, mask, None, 1.0)

    def estimate(weight):
        control = system.checked_control(Request(f"a ({'red'}:{weight}) circle"))
        with torch.no_grad():
            return control.denoiser(told, 2.0)(x, t)

    one, two, three = (estimate(w) for w in (1, 2, 3))
    torch.testing.assert_close(three - two, two - one, atol=1e-3, rtol=1e-3)
    assert (two - one).abs().max() > 1e-4


def test_guidance_at_all_times_is_guidance_and_at_none_is_none(system):
    whole = drawn(system, guidance=8.0)
    assert far(drawn(system, guidance=8.0, guidance_interval=(0.0, 1.0)), whole) == 0
    barely = drawn(system, guidance=8.0, guidance_interval=(0.0, 0.001))
    assert far(barely, drawn(system, guidance=1.0)) <= 1
    assert far(barely, whole) > 1


def test_a_region_draws_its_prompt_and_the_rest_stays_near(system):
    how = {"guidance": 2.0, "seed": 1}
    base, steered = drawn(system, **how), drawn(system, regions=[LEFT], **how)
    moved = np.abs(pixels(base) - pixels(steered)).mean((0, 1, 3))  # by column
    assert moved[:24].mean() > 0
    told = {"prompt": "a blue star", "understood": "a blue star on the left, a red circle", "box": [0.0, 0.0, 0.5, 1.0]}
    assert steered.settings[0]["regions"] == [told]
    assert far(drawn(system, regions=[LEFT], **how), steered) == 0


def test_each_picture_has_its_own_seed(system):
    listed = drawn(system, seeds=(7, 3))
    assert [told["seed"] for told in listed.settings] == [7, 3]
    for k, seed in enumerate((7, 3)):
        assert np.array_equal(pixels(listed)[k], pixels(drawn(system, seed=seed))[0])


def test_beside_a_negative_prompt_there_is_no_embedding_unless_asked_for(system):
    away = drawn(system, negative_prompt="a blue star")
    assert away.settings[0]["prior"] == "none"
    assert far(away, drawn(system, negative_prompt="a blue star", prior="none")) == 0
    kept = drawn(system, negative_prompt="a blue star", prior="diffusion")
    assert kept.settings[0]["prior"] == "diffusion" and far(kept, away) > 0


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"regions": [Region("a red circle", 0.5, 0, 0.5, 1)]}, "left,top,right,bottom"),
        ({"regions": [Region("a giraffe", 0, 0, 0.5, 1)]}, "giraffe"),
        ({"guidance_interval": (0.9, 0.2)}, "0 .the picture. to 1"),
        ({"negative_prompt": "(red:2)"}, "only prompts have them"),
        ({"seeds": (1, 2), "count": 3}, "seeds say by themselves"),
        ({"seeds": (-1,)}, "2\\^62"),
        ({"regions": [LEFT], "expand": True}, "--expand"),
    ],
)
def test_what_cannot_be_meant_is_refused(system, how, says):
    with pytest.raises(TranhError, match=says):
        next(iter(system.generate_events(Request("a red circle", **how))))


class Drawer(torch.nn.Module):
    """Draws what it is told at once; with ``walk`` it is one that can be steered."""

    config = {"image_size": 8}
    samplers = ()

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def meet(self, parents):
        pass

    def draw(self, tokens, mask, seeds, *, steps=None, guidance=None, away=None):
        x = torch.zeros(len(seeds), 3, 8, 8)
        yield Step(1, 1, 0.0, x, x)


class Walker(Drawer):
    def guided(self, tokens, mask, guidance, away=None):
        value = float(tokens.sum())
        return lambda x, t: torch.full_like(x, value / 1e6)

    def walk(self, denoiser, seeds, steps=None, sampler=None):
        x = denoiser(torch.zeros(len(seeds), 3, 8, 8), torch.ones(len(seeds)))
        yield Step(1, 1, 0.0, x, x)


def test_a_family_that_walks_is_steered_and_one_that_does_not_refuses(assets):
    request = Request("a red circle", regions=[LEFT])
    with pytest.raises(TranhError, match="does not draw by denoising captions, so it has no use for regions"):
        next(iter(Alone({"still": Drawer()}, assets, {"name": "still"}).generate_events(request)))
    walker = Walker()
    assert isinstance(walker, Walks)
    *_, last = Alone({"walker": walker}, assets, {"name": "walker"}).generate_events(request)
    assert isinstance(last.result.images[0], Image.Image)
