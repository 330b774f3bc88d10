"""The table of tools: told in plain JSON, the same for every system, and what is sent wrongly is named."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tranh.families.vae import Vae
from tranh.recipes import toolbox
from tranh.recipes.fields import Field, Wrong, asked
from tranh.recipes.system import assemble
from tranh.recipes.tools import TOOLS, tool
from tranh.text.tokenizer import Tokenizer
from tranh.types import Region, Request, TranhError

RED = Image.new("RGB", (64, 64), (200, 30, 30))
BLUE = Image.new("RGB", (80, 64), (30, 30, 200))


def picture(id):
    if id not in ("red", "blue", "hole"):
        raise TranhError(f"there is no picture {id!r}")
    hole = Image.new("L", (64, 64))
    hole.paste(255, (16, 16, 48, 48))
    return {"red": RED, "blue": BLUE, "hole": hole}[id]


def test_listing_the_tools_imports_no_recipe_that_computes():
    code = "import sys; from tranh.recipes.tools import TOOLS; print(*(m for m in sys.modules if 'tranh.' in m))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert set(told.split()) <= {"tranh.types", "tranh.recipes", "tranh.recipes.fields", "tranh.recipes.tools"}


def test_every_edit_of_the_command_is_a_tool_and_each_is_told_in_both_languages():
    from typer.main import get_command

    import tranh.cli  # noqa: F401
    from tranh.cli.base import edit

    assert set(get_command(edit).commands) | {"generate"} == set(TOOLS)
    own = set(Request.__dataclass_fields__)
    for name, one in TOOLS.items():
        assert one.name == name and one.title["en"] and one.title["vi"] and one.gives in ("pictures", "animation")
        fields = [field.name for field in one.fields]
        assert len(set(fields)) == len(fields) and set(one.options) <= set(fields)
        loose = set(fields) - own - set(one.options)
        assert loose <= ({"fps", "loop"} if one.gives == "animation" else set())
        for field in one.fields:  # what stands where nothing is said can be said as well
            if field.default is not None and field.kind not in ("picture", "mask"):
                json_value = list(field.default) if isinstance(field.default, tuple) else field.default
                assert field.read(json_value, picture) == field.default


@pytest.mark.parametrize(
    ("name", "values", "wrong", "says"),
    [
        ("generate", {}, "prompt", "missing"),
        ("generate", {"prompt": ""}, "prompt", "missing"),
        ("generate", {"prompt": 3}, "prompt", "allowed: text"),
        ("generate", {"prompt": "x" * 40_000}, "prompt", "32000 letters"),
        ("generate", {"prompt": "a", "colour": "red"}, "colour", "allowed: prompt, negative_prompt"),
        ("generate", {"prompt": "a", "steps": 0}, "steps", "1 to 1000"),
        ("generate", {"prompt": "a", "steps": 2.5}, "steps", "whole number"),
        ("generate", {"prompt": "a", "steps": True}, "steps", "whole number"),
        ("generate", {"prompt": "a", "steps": "4"}, "steps", "whole number"),
        ("generate", {"prompt": "a", "guidance": float("nan")}, "guidance", "0 to 100"),
        ("generate", {"prompt": "a", "guidance": 10**400}, "guidance", "0 to 100"),
        ("generate", {"prompt": "a", "count": 10**400}, "count", "whole number"),
        ("generate", {"prompt": "a", "expand": 1}, "expand", "true or false"),
        ("generate", {"prompt": "a", "prior": "best"}, "prior", "diffusion, autoregressive, none"),
        ("generate", {"prompt": "a", "prior": ["none"]}, "prior", "diffusion"),
        ("generate", {"prompt": "a", "seeds": 3}, "seeds", "list of up to 1000"),
        ("generate", {"prompt": "a", "seeds": [1, -1]}, "seeds", "0 to 9"),
        ("generate", {"prompt": "a", "guidance_interval": [0.2]}, "guidance_interval", "2 to 2"),
        ("generate", {"prompt": "a", "regions": [{"prompt": "b"}]}, "regions", "box"),
        ("generate", {"prompt": "a", "regions": [{"prompt": "b", "box": [0, 0, 2, 1]}]}, "regions", "0 to 1"),
        ("variation", {}, "image", "missing"),
        ("variation", {"image": 7}, "image", "id of a picture"),
        ("variation", {"image": "green"}, "image", "no picture 'green'"),
        ("outpaint", {"image": "red", "prompt": "a", "extend": [1, 1]}, "extend", "left, top, right, bottom"),
        ("upscale", {"image": "red", "factor": 5}, "factor", "4, 16, 64"),
        ("animate", {"keys": []}, "keys", "1 to 64"),
        ("animate", {"keys": [{"picture": "red"}]}, "keys", "image"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_the_name_of_its_field(name, values, wrong, says):
    with pytest.raises(Wrong, match=None) as error:
        tool(name).asked(values, picture)
    assert error.value.field == wrong and says in str(error.value)


def test_what_is_meant_becomes_a_request():
    request, options = tool("generate").asked(
        {"prompt": "a", "seed": 3.0, "size": None, "guidance": 2, "guidance_interval": [0.1, 0.9], "seeds": [1, 2],
         "regions": [{"prompt": "b", "box": [0, 0, 0.5, 1]}]}, picture
    )  # fmt: skip
    assert request == Request(
        "a", seed=3, guidance=2.0, guidance_interval=(0.1, 0.9), seeds=(1, 2), regions=(Region("b", 0, 0, 0.5, 1),)
    )
    assert options == {}
    request, options = tool("animate").asked({"keys": ["a cat", {"image": "blue"}]}, picture)
    assert options["keys"] == ("a cat", BLUE) and options["loop"] is True and request.frames == 24
    with pytest.raises(TranhError, match="allowed: generate, variation"):
        tool("paint")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(TOOLS)), data=st.data())
def test_any_json_gives_a_request_or_a_fault_that_names_its_field(name, data):
    fields = [field.name for field in TOOLS[name].fields]
    values = data.draw(st.dictionaries(st.sampled_from([*fields, "other_name"]), JSON, max_size=5))
    try:
        request, options = TOOLS[name].asked(values, picture)
    except Wrong as error:
        assert error.field in {*fields, "other_name"} and str(error)
    else:
        assert isinstance(request, Request) and set(options) <= set(fields)


@given(low=st.integers(-50, 50), span=st.integers(0, 50), value=st.integers(-200, 200))
def test_a_number_is_taken_exactly_where_it_is_in_range(low, span, value):
    field = Field("n", "int", low=low, high=low + span)
    try:
        assert asked([field], {"n": value}, picture)[1] == {"n": value} and low <= value <= low + span
    except Wrong:
        assert not low <= value <= low + span


EDITS = {
    "generate": {"prompt": "a red circle", "count": 2, "steps": 2, "size": 64},
    "variation": {"image": "red", "steps": 4},
    "reconstruct": {"image": "red", "steps": 4},
    "textdiff": {"image": "red", "prompt": "a blue star", "steps": 4},
    "interpolate": {"image": "red", "other": "blue", "frames": 2, "steps": 4},
    "sweep": {"image": "red", "frames": 2, "steps": 4, "component": 2},
    "inpaint": {"image": "red", "mask": "hole", "prompt": "a blue star", "steps": 2},
    "outpaint": {"image": "red", "prompt": "a blue star", "steps": 2},
    "img2img": {"image": "blue", "prompt": "a red circle", "steps": 2},
    "restyle": {"image": "red", "other": "blue", "steps": 4},
    "upscale": {"image": "red"},
    "animate": {"keys": ["a red circle", {"image": "blue"}], "frames": 3, "steps": 2, "even": False},
}


@pytest.mark.parametrize("name", EDITS)
def test_a_hierarchy_does_what_it_says_it_can(system, name):
    one = tool(name)
    assert one.who(system) is None
    request, options = one.asked({**EDITS[name], **({} if name == "upscale" else {"allow_unknown": True})}, picture)
    *before, last = one.run(system, request, options)
    assert len(last.result.images) == len(last.result.settings) >= 1
    assert all(isinstance(told["seed"], int) for told in last.result.settings)
    looked = [event.preview for event in before if event.preview is not None]
    if one.gives == "pictures":
        assert looked and all(look().mode == "RGB" for look in looked[-1:])


def test_a_tool_is_the_call_it_stands_for(system):
    request, options = tool("variation").asked({"image": "red", "steps": 4, "seed": 5}, picture)
    *_, tooled = tool("variation").run(system, request, options)
    *_, called = toolbox.vary(system, Request("", image=RED, strength=0.5, seed=5, steps=4))
    assert np.array_equal(tooled.result.images[0], called.result.images[0])


def test_who_cannot_says_why_and_fields_fit_who_can(system):
    assert "cannot complete a picture" in tool("complete").who(system)
    assert "no latent space" in tool("fill").who(system)
    assert "makes no pictures" in tool("generate").who(object())
    told = {field.name: field for field in tool("generate").fields_of(system)}
    assert told["size"].choices == (64, 256) and told["steps"].default == 3
    assert told["prior"].choices == ("diffusion", "autoregressive", "none")
    assert "temperature" not in told and "sampler" not in told


def test_models_that_encode_and_decode_have_tools_of_their_own(assets):
    tokenizer = Tokenizer.load(assets["tokenizer.json"])
    vae = Vae(
        vocab=len(tokenizer), max_len=tokenizer.max_length, image_size=16, latent=4, width=16, depth=1, heads=2,
        patch=4, text_dim=16, text_depth=1, text_heads=2,
    )  # fmt: skip
    coder = assemble({"vae": vae.eval()}, assets, {"name": "toy"})
    for name, values, count in (
        ("latent", {"image": "red", "other": "blue", "frames": 3}, 3),
        ("denoise", {"image": "red", "noise": 0.5}, 1),
        ("fill", {"image": "red", "box": [0.5, 0, 1, 1], "rounds": 2}, 1),
        ("fill", {"image": "red", "mask": "hole", "rounds": 2}, 1),
    ):
        assert tool(name).who(coder) is None
        request, options = tool(name).asked(values, picture)
        *_, last = tool(name).run(coder, request, options)
        assert [image.size for image in last.result.images] == [(16, 16)] * count
        assert last.result.settings[0]["edit"] == name and "seed" in last.result.settings[0]
    with pytest.raises(TranhError, match="either another picture"):
        list(tool("latent").run(coder, *tool("latent").asked({"image": "red"}, picture)))


def test_a_pipeline_is_offered_what_it_takes_alone():
    bare = SimpleNamespace(takes={"prompt": None, "num_inference_steps": None}, steps=4, guidance=None)
    whole = SimpleNamespace(takes=bare.takes | {"guidance_scale": None, "negative_prompt": None}, steps=4, guidance=7.5)
    names = [{field.name for field in tool("generate").fields_of(pipeline)} for pipeline in (bare, whole)]
    assert names[1] - names[0] == {"guidance", "negative_prompt"} and "steps" in names[0]
