"""What of a stranger's diffusers folder may be loaded: classes by name, weights as safetensors, and nothing that runs.

A folder is read as data only. It knows no pipeline's networks; :mod:`tranh.recipes.foreign` runs what is allowed.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tranh.files import read_json
from tranh.types import TranhError

INDEX = "model_index.json"

HUB = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
"""An id of the Hugging Face hub: ``owner/name``."""

PIPELINES = frozenset({
    "AuraFlowPipeline", "FluxPipeline", "Kandinsky3Pipeline", "KandinskyV22CombinedPipeline",
    "LatentConsistencyModelPipeline", "PRXPipeline", "PRXPixelPipeline", "PixArtAlphaPipeline", "PixArtSigmaPipeline",
    "SanaPipeline", "StableDiffusion3Pipeline", "StableDiffusionPipeline", "StableDiffusionXLPipeline",
})  # fmt: skip
"""From a sentence to a picture, and nothing else."""

SCHEDULERS = frozenset({
    "DDIMScheduler", "DDPMScheduler", "DEISMultistepScheduler", "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler", "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler",
    "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler", "LCMScheduler", "LMSDiscreteScheduler",
    "PNDMScheduler", "TCDScheduler", "UnCLIPScheduler", "UniPCMultistepScheduler",
})  # fmt: skip

CLASSES: Mapping[str, Mapping[str, str]] = {
    "diffusers": dict.fromkeys(
        SCHEDULERS | {
            "AsymmetricAutoencoderKL", "AuraFlowTransformer2DModel", "AutoencoderDC", "AutoencoderKL",
            "AutoencoderTiny", "FluxTransformer2DModel", "Kandinsky3UNet", "PRXTransformer2DModel",
            "PixArtTransformer2DModel", "PriorTransformer", "SD3Transformer2DModel", "SanaTransformer2DModel",
            "Transformer2DModel", "UNet2DConditionModel", "VQModel",
        },
        "diffusers",
    ),
    "transformers": dict.fromkeys(
        (
            "CLIPFeatureExtractor", "CLIPImageProcessor", "CLIPImageProcessorPil", "CLIPTextModel",
            "CLIPTextModelWithProjection", "CLIPTokenizer", "CLIPTokenizerFast", "CLIPVisionModelWithProjection",
            "Gemma2Model", "GemmaTokenizer", "GemmaTokenizerFast", "PreTrainedTokenizerFast", "Qwen2Tokenizer",
            "Qwen2TokenizerFast", "Qwen3VLTextModel", "T5EncoderModel", "T5Tokenizer", "T5TokenizerFast",
            "TokenizersBackend", "UMT5EncoderModel",
        ),
        "transformers",
    ) | {"T5GemmaEncoder": "transformers.models.t5gemma.modeling_t5gemma"},
    "stable_diffusion": {"StableDiffusionSafetyChecker": "diffusers.pipelines.stable_diffusion.safety_checker"},
}  # fmt: skip
"""Library -> class -> the module it is taken from. Nothing else is ever looked up by a name that a folder gives."""

RENAMED = {"CLIPFeatureExtractor": "CLIPImageProcessor"}
"""What older folders call a class."""

DATA = frozenset({".json", ".txt", ".safetensors", ".model", ".jinja", ".md", ".png", ".jpg", ".jpeg", ".webp", ""})
"""Suffixes of files that only hold data; spiece.model is sentencepiece's."""

PICKLES = frozenset({".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle", ".joblib", ".npy", ".npz"})

RUNNING = frozenset({
    "auto_map", "custom_pipeline", "custom_pipelines", "trust_remote_code", "attn_implementation",
    "_attn_implementation", "_attn_implementation_internal", "quantization_config",
})  # fmt: skip
"""Settings by which a configuration asks for code of its own, or for kernels from elsewhere."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
LIMIT = 2**26
"""Most bytes of a JSON file (a tokenizer may have some tens of millions)."""


def read_index(folder: Path) -> dict[str, Any]:
    """The pipeline's class and its components, all of them allowed.

    Raises:
        TranhError: a pipeline or class that is not on the list, or a name that is no name.
    """
    index = read_json(folder / INDEX, limit=2**20)
    if not isinstance(index, dict) or str(index.get("_class_name")) not in PIPELINES:
        given = index.get("_class_name") if isinstance(index, dict) else index
        hint = "; of a decoder and its prior, save the combined pipeline" if str(given).startswith("Kandinsky") else ""
        raise TranhError(
            f"{folder} is a {given!r}; pipelines from text to a picture that are run here: "
            f"{', '.join(sorted(PIPELINES))}{hint}"
        )
    for name, value in index.items():
        if not name.startswith("_") and isinstance(value, list):
            _check_component(folder, name, value)
    return index


def components(index: Mapping[str, Any]) -> Iterator[tuple[str, type[Any] | None]]:
    """Every component of a checked index with its class; None for one that is left out."""
    for name, value in index.items():
        if name.startswith("_") or not isinstance(value, list):
            continue
        library, kind = value
        if library is None:
            yield name, None
        else:
            module = importlib.import_module(CLASSES[library][kind])
            yield name, getattr(module, str(RENAMED.get(kind, kind)))


def check_files(folder: Path, root: Path | None = None) -> None:
    """Refuse a folder that holds pickles, code, unknown kinds of files, links out of it, or settings that run code.

    Args:
        root: links may lead to anywhere below it; the folder itself by default.

    Raises:
        TranhError: names the file and what to do.
    """
    root = (root or folder).resolve()
    for path in sorted(folder.rglob("*")):
        where = path.relative_to(folder)
        if not path.resolve().is_relative_to(root):
            raise TranhError(f"{folder}: {where} leads outside the folder; copy the file itself there")
        if path.is_dir():
            continue
        suffix = path.suffix.lower()
        if suffix in PICKLES:
            raise TranhError(
                f"{folder}: {where} may be a pickle, which can run code when it is opened; only .safetensors are read. "
                "Save the pipeline again with safe_serialization=True, and take the file away"
            )
        if suffix not in DATA and not path.name.startswith("."):
            raise TranhError(
                f"{folder}: {where} is neither weights (.safetensors) nor plain data; no code of a model is ever run. "
                "Take it away if the model does without it"
            )
        if suffix == ".json":
            _check_settings(folder, where, path)


def _check_component(folder: Path, name: str, value: list[Any]) -> None:
    if not NAME.fullmatch(name) or len(value) != 2:
        raise TranhError(f"{folder}: {INDEX} has a component {name!r} = {value!r}; expected name: [library, class]")
    library, kind = value
    if value != [None, None] and (not isinstance(kind, str) or kind not in CLASSES.get(str(library), {})):
        known = sorted(kind for kinds in CLASSES.values() for kind in kinds)
        raise TranhError(
            f"{folder}: component {name!r} is {library}.{kind}, which is not among the classes that are loaded here: "
            f"{', '.join(known)}"
        )


def _check_settings(folder: Path, where: Path, path: Path) -> None:
    if path.stat().st_size > LIMIT:
        raise TranhError(f"{folder}: {where} has more than {LIMIT // 2**20} MiB; no configuration is that large")
    try:
        settings = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise TranhError(f"{folder}: {where} is no JSON ({error}); copy it again") from error
    if not isinstance(settings, dict):
        return
    asked = sorted(key for key in RUNNING & settings.keys() if settings[key])
    if asked:
        raise TranhError(
            f"{folder}: {where} asks for code or kernels of its own ({', '.join(asked)}); no such model is run here"
        )
    for file in settings["weight_map"].values() if isinstance(settings.get("weight_map"), dict) else ():
        if not isinstance(file, str) or not NAME.fullmatch(file) or not file.endswith(".safetensors"):
            raise TranhError(f"{folder}: {where} names {file!r}; weights are .safetensors files beside it")
