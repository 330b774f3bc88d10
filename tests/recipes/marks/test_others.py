"""Settings as other programs write them; their texts are shaped after what their sources write."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranh.engine.picture import EXIF_IFD, USER_COMMENT, describe
from tranh.recipes.marks.others import settings_in, source_type_in

A1111 = (
    "a red circle, (large:1.2)\non grass\nNegative prompt: blurry,\nugly\n"
    "Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 4294967295, Size: 512x768, Model hash: 6ce0161689, "
    'Model: sd-v1-5, Denoising strength: 0.4, Lora hashes: "one: 1a2b, two: 3c4d", Version: v1.10.1'
)
COMFY = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 156680208700286, "steps": 20, "cfg": 8, "sampler_name": "euler", "denoise": 1,
            "model": ["10", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 640, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "một ngôi sao", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "watermark", "clip": ["4", 1]}},
    "10": {"class_type": "LoraLoader", "inputs": {"lora_name": "x", "strength_model": 1, "model": ["4", 0]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
}  # fmt: skip
INVOKE = {
    "generation_mode": "txt2img", "positive_prompt": "a cat", "negative_prompt": "", "width": 512, "height": 512,
    "seed": 11, "cfg_scale": 7.5, "steps": 30, "scheduler": "euler_a",
    "model": {"name": "sdxl", "key": "k", "base": "sdxl"},
}  # fmt: skip
FOOOCUS = {
    "adm_guidance": "(1.5, 0.8, 0.3)", "base_model": "juggernaut", "guidance_scale": 4, "negative_prompt": "", "prompt":
    "a dog", "resolution": "(1152, 896)", "sampler": "dpmpp_2m_sde_gpu", "seed": "123", "steps": 30, "version": "v2.5",
}  # fmt: skip

KNOWN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "AUTOMATIC1111": (
        {"parameters": A1111},
        {
            "prompt": "a red circle, (large:1.2)\non grass", "negative_prompt": "blurry,\nugly", "steps": 20,
            "sampler": "DPM++ 2M Karras", "guidance": 7.5, "seed": 4294967295, "model": "sd-v1-5", "strength": 0.4,
            "width": 512, "height": 768,
        },
    ),
    "ComfyUI": (
        {"prompt": json.dumps(COMFY), "workflow": "{}"},
        {
            "prompt": "một ngôi sao", "negative_prompt": "watermark", "model": "v1-5.safetensors",
            "seed": 156680208700286, "steps": 20, "guidance": 8.0, "sampler": "euler", "width": 512, "height": 640,
        },
    ),
    "InvokeAI": (
        {"invokeai_metadata": json.dumps(INVOKE)},
        {
            "prompt": "a cat", "steps": 30, "sampler": "euler_a", "guidance": 7.5, "seed": 11, "model": "sdxl",
            "width": 512, "height": 512,
        },
    ),
    "Fooocus": (
        {"parameters": json.dumps(FOOOCUS), "fooocus_scheme": "fooocus"},
        {
            "prompt": "a dog", "steps": 30, "sampler": "dpmpp_2m_sde_gpu", "guidance": 4.0, "seed": 123,
            "model": "juggernaut", "width": 1152, "height": 896,
        },
    ),
    "Tranh": ({"tranh": json.dumps({"prompt": "một", "seed": 1}), "parameters": A1111}, {"prompt": "một", "seed": 1}),
}  # fmt: skip


@pytest.mark.parametrize("program", KNOWN)
def test_settings_of_each_program(program: str) -> None:
    given_texts, expected = KNOWN[program]
    assert settings_in(given_texts, {}) == (program, expected)


@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + A1111.encode("utf-16-be"),
        b"UNICODE\0" + A1111.encode("utf-16-le"),
        b"ASCII\0\0\0" + A1111.encode("ascii"),
        b"\0" * 8 + A1111.encode(),
    ],
)
def test_settings_in_a_user_comment(comment: bytes) -> None:
    assert settings_in({}, {EXIF_IFD: {USER_COMMENT: comment}}) == ("AUTOMATIC1111", KNOWN["AUTOMATIC1111"][1])


KEYS = ("parameters", "tranh", "prompt", "invokeai_metadata")
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12)


@given(st.lists(WORDS, min_size=1, max_size=6), st.lists(WORDS, max_size=4), st.integers(0, 2**53), st.integers(1, 99))
def test_our_text_is_read_as_theirs(prompt: list[str], negative: list[str], seed: int, steps: int) -> None:
    """What ``describe`` writes for other programs, in any language."""
    said = {"prompt": " ".join(prompt), "negative_prompt": " ".join(negative), "seed": seed, "steps": steps}
    found = settings_in({"parameters": describe(said, (64, 48))}, {})
    assert found == ("AUTOMATIC1111", {k: v for k, v in said.items() if v != ""} | {"width": 64, "height": 48})


@given(
    st.dictionaries(
        st.sampled_from(["parameters", "tranh", "prompt", "invokeai_metadata", "xmp"]), st.text() | st.binary()
    )
)
def test_any_text_is_read_or_left(texts: dict[str, Any]) -> None:
    found = settings_in(texts, {})
    assert found is None or json.dumps(found[1], allow_nan=False)
    source_type_in(texts)


JSONS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(KEYS), st.data())
def test_any_json_is_read_or_left(key: str, data: st.DataObject) -> None:
    """Right names with wrong values behind them."""
    shapes = {"prompt": COMFY["3"]["inputs"], "invokeai_metadata": INVOKE, "parameters": FOOOCUS, "tranh": {"seed": 1}}
    inputs = {name: data.draw(JSONS) for name in shapes[key]}
    value = {"3": {"inputs": inputs}, "6": {"inputs": data.draw(JSONS)}} if key == "prompt" else inputs
    found = settings_in({key: json.dumps(value)}, {})
    assert found is None or json.dumps(found[1], allow_nan=False).encode()


@pytest.mark.parametrize(
    "text",
    [
        "a" * 10**6, "Steps: 1, " + "a" * 10**6, "Steps: 1, " + "a: \"" * 10**5, "\nSteps: 1" * 10**5, "[" * 10**6,
        "DigitalSourceType>" * 10**5, 'DigitalSourceType="' * 10**5, 'tranh:settings="' * 10**5,
    ],
    ids=range(8),
)  # fmt: skip
def test_a_long_text_takes_no_long_time(text: str) -> None:
    begun = time.process_time()
    for key in ("parameters", "tranh", "prompt", "xmp"):
        settings_in({key: text}, {})
    source_type_in({"xmp": text})
    assert time.process_time() - begun < 2


def test_a_graph_that_runs_in_a_circle_ends() -> None:
    graph = {"1": {"inputs": {"steps": 4, "positive": ["2", 0]}}, "2": {"inputs": {"a": ["2", 0], "b": ["2", 0]}}}
    assert settings_in({"prompt": json.dumps(graph)}, {}) == ("ComfyUI", {"steps": 4})


@pytest.mark.parametrize(
    ("xmp", "expected"),
    [
        (b'<a Iptc4xmpExt:DigitalSourceType="http://x/y&amp;z"/>', "http://x/y&z"),
        (b"<Iptc4xmpExt:DigitalSourceType> http://x </Iptc4xmpExt:DigitalSourceType>", "http://x"),
        (b"<a/>", None),
        (None, None),
    ],
)
def test_the_source_type(xmp: bytes | None, expected: str | None) -> None:
    assert source_type_in({"xmp": xmp}) == expected
