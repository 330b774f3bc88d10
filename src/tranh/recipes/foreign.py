"""Any text-to-image folder of diffusers, run as a system: the same requests, seeds, progress, pictures and settings.

It does not know a model's words, so none can be refused. What may be loaded, :mod:`tranh.recipes.foreign_folder` says.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from tranh.engine.weights import fingerprint
from tranh.nn.pixels import to_images
from tranh.recipes.foreign_folder import INDEX, SCHEDULERS, check_files, components, read_index
from tranh.recipes.pictures import Pictures, check, pictures, seeds_of
from tranh.recipes.stepped import Done, step_by_step
from tranh.text.normalise import tidy
from tranh.text.prompt import UNDETERMINED, Prompt
from tranh.text.weights import parse
from tranh.types import Event, Request, TranhError

DESCRIBING = ["*.json", "*.txt", "*/*.model"]
WEIGHTS = ["*/*.safetensors"]
LEFT = ["*.fp16.*", "*.bf16.*", "*non_ema*", "*flax*", "*onnx*", "*openvino*"]
"""Of a repository only these files are fetched, without doubles in other precisions."""


class Foreign:
    """A pipeline of diffusers that makes pictures of prompts.

    Args:
        pipeline: of one of the allowed classes, its parts loaded.
        name: for people; it is kept in the settings of pictures.

    Attributes:
        steps, guidance: the pipeline's own; guidance is None for one that takes none.
        samplers: schedulers that may stand in the place of its own.
    """

    def __init__(self, pipeline: Any, name: str) -> None:
        self.pipeline, self.name = pipeline, name
        self.takes: Mapping[str, inspect.Parameter] = inspect.signature(type(pipeline).__call__).parameters
        self.steps: int = self.takes["num_inference_steps"].default
        self.guidance: float | None = self.takes["guidance_scale"].default if "guidance_scale" in self.takes else None
        self.card: dict[str, Any] = {"name": name, "pipeline": type(pipeline).__name__}
        self._reading = threading.Lock()  # a tokenizer changes while it reads
        pipeline.set_progress_bar_config(disable=True)

    @cached_property
    def hash(self) -> str:
        """Names the weights, in the settings of every picture."""
        modules = {n: part for n, part in self.pipeline.components.items() if isinstance(part, nn.Module)}
        return fingerprint({f"{n}.{k}": v for n, part in modules.items() for k, v in part.state_dict().items()})

    @cached_property
    def samplers(self) -> tuple[str, ...]:
        takes = inspect.signature(type(self.pipeline).__init__).parameters.get("scheduler")
        any_kind = takes is not None and getattr(takes.annotation, "__name__", "") == "KarrasDiffusionSchedulers"
        kinds = getattr(self.pipeline.scheduler, "compatibles", ()) if any_kind else ()
        able = (kind.__name__ for kind in kinds if not hasattr(kind, "_backends"))  # of a library that is not here
        return tuple(sorted(name for name in able if name in SCHEDULERS))

    def own(self, sampler: str | None = None) -> Any:
        """A pipeline for one request: it has networks in common with the others, and schedulers and tokenizers of its
        own. Pipelines, schedulers and tokenizers keep on themselves what they are asked."""
        kind, parts = type(self.pipeline), dict(self.pipeline.components)
        with self._reading:
            parts |= {name: copy.deepcopy(part) for name, part in parts.items() if not isinstance(part, nn.Module)}
        if sampler is not None:
            chosen = getattr(importlib.import_module("diffusers"), sampler)
            parts["scheduler"] = chosen.from_config(parts["scheduler"].config)
        takes = inspect.signature(kind.__init__).parameters
        plain = {k: v for k, v in self.pipeline.config.items() if k in takes and k not in parts}
        made = kind(**parts, **plain)
        made.set_progress_bar_config(disable=True)
        return made

    def checked(self, request: Request) -> None:
        """Refuse a request that cannot be met.

        Raises:
            TranhError: says what was given and what is allowed.
        """
        check(request)
        self.understand(request.prompt)
        if request.prior is not None:
            raise TranhError(f"{self.name} is a {self.card['pipeline']}: it has no prior to choose, leave --prior out")
        if request.refuse_copies:
            raise TranhError(f"{self.name} has no index of its training pictures, so near copies cannot be refused")
        if request.negative_prompt and "negative_prompt" not in self.takes:
            raise TranhError(f"{self.name} takes no negative prompt: leave it out")
        if request.guidance is not None and self.guidance is None:
            raise TranhError(f"{self.name} takes no guidance: leave it out")
        if request.sampler is not None and request.sampler not in self.samplers:
            known = ", ".join(self.samplers) or "none but its own"
            raise TranhError(f"{self.name} has no sampler {request.sampler!r}; allowed: {known}")
        if request.regions or request.guidance_interval or parse(request.prompt).spans:
            raise TranhError(
                f"{self.name} is a {self.card['pipeline']}: it takes one plain prompt. Leave regions, the guidance "
                "interval and weights out, or take a model of ours (tranh-1)"
            )
        ours = {
            "expand": request.expand, "candidates": request.candidates > 1, "temperature": request.temperature,
            "top_k": request.top_k, "top_p": request.top_p,
        }  # fmt: skip
        useless = [name for name, value in ours.items() if value not in (None, False)]
        if useless:
            raise TranhError(
                f"{self.name} is a {self.card['pipeline']}: it has no use for {', '.join(useless)}, leave them out"
            )

    def understand(self, prompt: str, allow_unknown: bool = False) -> Prompt:
        """The prompt made safe to show; nothing is known of the model's words.

        Raises:
            TranhError: there is nothing in it.
        """
        text = tidy(prompt)
        if not text:
            raise TranhError("the prompt has no words: say what the picture should show")
        return Prompt(text, text, UNDETERMINED, self._cut(text))

    def generate_events(self, request: Request) -> Iterator[Event]:
        """Make the pictures of a request, one after another, each from its own seed.

        Yields:
            One event per denoising step; the last one's ``result`` is :class:`Pictures`.

        Raises:
            TranhError: the request cannot be met.
        """
        self.checked(request)
        prompt = self.understand(request.prompt)
        images, settings, count = [], [], 0
        each = request.steps or self.steps
        if "prior_num_inference_steps" in self.takes:
            each += self.takes["prior_num_inference_steps"].default
        seeds = seeds_of(request)
        for k, seed in enumerate(seeds):
            for done in self._drawing(request, prompt.text, seed):
                if isinstance(done, Image.Image):
                    images.append(done)
                    settings.append(self._settings(request, prompt, seed, done))
                else:
                    count = min(k * each + done.count, (k + 1) * each)
                    yield Event("draw", count, len(seeds) * each, preview=done.preview)
        total = len(seeds) * each
        yield Event("draw", total, total, result=Pictures(images, list(prompt.notices), settings))

    def generate(
        self,
        prompt: str,
        *,
        count: int = 1,
        seed: int = 0,
        steps: int | None = None,
        guidance: float | None = None,
        size: int | None = None,
        negative_prompt: str = "",
        sampler: str | None = None,
    ) -> list[Image.Image]:
        """Pictures for a prompt; see :class:`tranh.types.Request` for the arguments."""
        request = Request(
            prompt, negative_prompt, count=count, seed=seed, steps=steps, guidance=guidance, size=size, sampler=sampler
        )  # fmt: skip
        *_, last = self.generate_events(request)
        images: list[Image.Image] = last.result.images
        return images

    def generate_batch(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        size: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
    ) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1], for evaluation; drawn one by one, as single requests draw them."""
        drawn = [
            self.generate(prompt, seed=seed, size=size, steps=steps, guidance=guidance)[0]
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        return to_images(np.stack([np.asarray(image.convert("RGB")) for image in drawn]))

    def _arguments(self, request: Request, prompt: str, seed: int) -> dict[str, Any]:
        """What the pipeline is called with; what a request leaves open, the pipeline decides."""
        given: dict[str, Any] = {
            "prompt": prompt,
            "negative_prompt": request.negative_prompt or None,
            "num_inference_steps": request.steps,
            "guidance_scale": request.guidance,
            "height": request.size,
            "width": request.size,
        }
        told = {k: v for k, v in given.items() if v is not None}
        told["generator"] = torch.Generator().manual_seed(seed)
        if "use_resolution_binning" in self.takes:
            told["use_resolution_binning"] = False  # the size that was asked for, not one of a list
        return told

    def _drawing(self, request: Request, prompt: str, seed: int) -> Iterator[Done | Image.Image]:
        """Each finished step, then the picture."""
        pipeline = self.own(request.sampler)

        def call(ended: Callable[[Callable[[], Image.Image] | None], None]) -> Image.Image:
            def each(_: Any, step: int, time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
                ended(self._preview(tensors.get("latents")))
                return tensors

            asked = [name for name in self.takes if name in ("callback_on_step_end", "prior_callback_on_step_end")]
            told = self._arguments(request, prompt, seed) | dict.fromkeys(asked, each)
            image: Image.Image = pipeline(**told).images[0]
            return image

        try:
            yield from step_by_step(call)
        except ValueError as error:  # how pipelines refuse a size, or a number of steps
            raise TranhError(f"{self.name} ({self.card['pipeline']}) cannot draw this: {error}") from error

    def _preview(self, latents: Any) -> Callable[[], Image.Image] | None:
        """Makes the picture of a state, noisy as it still is; None where it is none (of a prior, or packed)."""
        if not isinstance(latents, Tensor) or latents.ndim != 4:
            return None
        coder: Any = getattr(self.pipeline, "vae", None) or getattr(self.pipeline, "movq", None)

        def made() -> Image.Image:
            x = latents[:1]
            if coder is not None:
                scale, shift = (getattr(coder.config, name, None) for name in ("scaling_factor", "shift_factor"))
                x = x if hasattr(self.pipeline, "movq") else x / (scale or 1.0) + (shift or 0.0)
                told = {"force_not_quantize": True} if hasattr(self.pipeline, "movq") else {}
                with torch.no_grad():
                    x = coder.decode(x, return_dict=False, **told)[0]
            return pictures(x.float().clamp(-1, 1))[0]

        return made

    def _cut(self, text: str) -> tuple[str, ...]:
        """A notice where the first tokenizer reads less than the prompt."""
        parts = self.pipeline.components
        tokenizer = parts.get("tokenizer") or parts.get("prior_tokenizer")
        if tokenizer is None:
            return ()
        with self._reading:
            count, most = len(tokenizer(text, truncation=False, verbose=False).input_ids), tokenizer.model_max_length
        if count <= most:
            return ()
        return (f"the prompt has {count} tokens and this model reads {most}: its end is not read",)

    def _settings(self, request: Request, prompt: Prompt, seed: int, image: Image.Image) -> dict[str, Any]:
        """What repeats one picture."""
        return {
            "prompt": prompt.original,
            "understood": prompt.text,
            "language": prompt.language,
            "negative_prompt": request.negative_prompt,
            "seed": seed,
            "steps": request.steps or self.steps,
            "guidance": self.guidance if request.guidance is None else request.guidance,
            "size": request.size or image.width,
            "model": self.name,
            "hash": self.hash,
        } | ({"sampler": request.sampler} if request.sampler is not None else {})


def load(folder: Path, name: str | None = None, root: Path | None = None) -> Foreign:
    """The pipeline in a folder, each part by a class of the list, from safetensors and JSON alone.

    Args:
        name: for people; the folder's by default. root: see :func:`check_files`.

    Raises:
        TranhError: something in the folder is not allowed or missing, or diffusers is not installed.
    """
    folder = Path(folder)
    index = read_index(folder)
    check_files(folder, root)
    try:
        library = importlib.import_module("diffusers")
        parts = {part: None if kind is None else _part(folder, part, kind) for part, kind in components(index)}
        kind = getattr(library, index["_class_name"])
        takes = inspect.signature(kind.__init__).parameters
        plain = {k: v for k, v in index.items() if k in takes and k not in parts}
        pipeline = kind(**{k: v for k, v in parts.items() if k in takes}, **plain)
    except ImportError as missing:
        raise TranhError(f"running {folder} needs a library ({missing}): pip install diffusers transformers") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise TranhError(f"{folder} cannot be put together as {index['_class_name']}: {error}") from error
    _spare_ftfy(kind)
    return Foreign(pipeline, name or folder.name)


def from_hub(repository: str) -> Foreign:
    """The pipeline of a repository of the Hugging Face hub: looked at before its weights are fetched.

    Raises:
        TranhError: it cannot be reached, or holds what is not allowed.
    """
    read_index(_snapshot(repository, DESCRIBING)[0])
    folder, root = _snapshot(repository, [*DESCRIBING, *WEIGHTS])
    return load(folder, repository, root)


def _snapshot(repository: str, patterns: Sequence[str]) -> tuple[Path, Path]:
    """Where the files of a repository lie once they are fetched, and the cache that their links lead to."""
    try:
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(repository, allow_patterns=list(patterns), ignore_patterns=LEFT))
    except Exception as error:  # of many kinds: of the net, of HTTP, of the hub, of the disk
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise TranhError(
            f"{repository!r} is no folder here, and the Hugging Face hub did not give it: {told}. Check the name and "
            "the network, or give the path of a folder that was downloaded elsewhere"
        ) from error
    if not (folder / INDEX).is_file():
        raise TranhError(f"{repository} on the Hugging Face hub has no {INDEX}: it is no pipeline of diffusers")
    return folder, folder.parent.parent if folder.parent.name == "snapshots" else folder


def _part(folder: Path, name: str, kind: type[Any]) -> Any:
    place, loaded = folder / name, kind
    if not place.is_dir():
        raise TranhError(f"{folder} has no folder {name}/, which {INDEX} names: copy the whole folder again")
    if not issubclass(kind, nn.Module):
        return kind.from_pretrained(str(place), local_files_only=True)
    if not any(place.glob("*.safetensors")):
        raise TranhError(f"{place} has no .safetensors: save the pipeline again with safe_serialization=True")
    try:
        part = loaded.from_pretrained(
            str(place), local_files_only=True, use_safetensors=True, torch_dtype=torch.float32
        )
    except (OSError, RuntimeError) as error:
        raise TranhError(f"{place} cannot be loaded as {kind.__name__}: {error}") from error
    return part.eval()


def _spare_ftfy(kind: type[Any]) -> None:
    """PRX mends broken Unicode by ftfy and fails where that is not installed; prompts here are sound already."""
    module: Any = importlib.import_module(kind.__module__)
    if kind.__name__.startswith("PRX") and not hasattr(module, "ftfy"):
        module.ftfy = SimpleNamespace(fix_text=lambda text: text)
