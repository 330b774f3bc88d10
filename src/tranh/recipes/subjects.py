"""Subjects a model was taught from pictures: where they are kept, and a system that draws them.

It does not know how they are learned. A subject is a folder: ``subject.json`` (what it belongs to), and two files in
the formats of diffusers: ``learned_embeds.safetensors`` (textual inversion) and ``pytorch_lora_weights.safetensors``.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tranh.engine.weights import fingerprint
from tranh.families.decoder import Decoder
from tranh.files import read_json, read_tensors, write_json, write_tensors
from tranh.nn.lora import Lora
from tranh.recipes.foreign import Foreign
from tranh.recipes.memory import MEMORY
from tranh.recipes.own import TOKENIZER, WORDS
from tranh.recipes.shelf import CARD, learned, shelf, those
from tranh.recipes.unclip import UnClip
from tranh.text.normalise import normalise
from tranh.text.prompt import Prompt
from tranh.text.subjects import NamingTokenizer, bracketed, spoken_of, with_names
from tranh.types import Request, TranhError

FORMAT = 1
VECTORS, LORA = "learned_embeds.safetensors", "pytorch_lora_weights.safetensors"
METADATA = "lora_adapter_metadata"
"""Where diffusers looks for a LoRA's rank and alpha in the header of its file."""
UNET = "unet."
"""Before the names of layers in the file of a LoRA."""


@dataclass(frozen=True)
class Subject:
    """A learned subject.

    Attributes:
        vectors: (n, dim), what its name is read as.
        lora: beside layers of the base's ``unet``, as diffusers calls the network that draws.
        card: name, base (name and hash), alpha, and how it was learned.
        folder: where it is kept; None before it is.
    """

    name: str
    vectors: Tensor
    lora: Lora
    card: Mapping[str, Any]
    folder: Path | None = None


def save(place: Path, subject: Subject) -> Path:
    """Write a subject, whole or not at all; an old one of its name is replaced."""
    folder, half = place / subject.name, place / f".{subject.name}.{os.getpid()}.tmp"
    shutil.rmtree(half, ignore_errors=True)
    try:
        half.mkdir(parents=True)
        write_tensors(half / VECTORS, {f"<{subject.name}>": subject.vectors})
        told = {"r": subject.lora.rank, "lora_alpha": subject.lora.alpha, "target_modules": subject.lora.names}
        header = {METADATA: json.dumps({f"{UNET}{key}": value for key, value in told.items()})}
        write_tensors(half / LORA, subject.lora.tensors(UNET), header)
        write_json(half / CARD, {"format": FORMAT, **subject.card})
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(half, folder)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return folder


def load(place: Path, name: str) -> Subject:
    """A subject of the shelf.

    Raises:
        TranhError: there is none of that name, or its files are not whole.
    """
    folder = place / name
    card = read_json(folder / CARD)
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise TranhError(f"{folder / CARD} is not of format {FORMAT}: teach {name} again")
    try:
        (vectors,) = read_tensors(folder / VECTORS).values()
        lora = Lora.of(read_tensors(folder / LORA), float(card["alpha"]), UNET)
    except (KeyError, ValueError, TypeError) as error:
        raise TranhError(f"the files of {folder} do not belong together ({error}): teach {name} again") from error
    return Subject(name, vectors, lora, card, folder)


def base_hash(system: Any) -> str:
    """Names what a subject is learned beside: the decoder of a hierarchy, the whole of a folder of diffusers."""
    if isinstance(system, Foreign):
        return system.hash
    return fingerprint(decoder_of(system).state_dict())


def decoder_of(system: Any) -> Decoder:
    """The part a subject is learned beside.

    Raises:
        TranhError: the system has none.
    """
    found = getattr(system, "decoder", None)
    if not isinstance(system, UnClip) or not isinstance(found, Decoder):
        raise TranhError(
            f"{getattr(system, 'name', type(system).__name__)} cannot be taught a subject: it has no decoder that a "
            "name and a LoRA can be learned beside. Systems that can: unclip, direct, quick (tranh-1 is one), and "
            "Stable Diffusion folders of diffusers"
        )
    return found


def wearing(system: Any, request: Request, place: Path | None = None) -> Any:
    """The system that draws a request: the same one, or one that knows the subjects that its prompts name.

    Args:
        place: the shelf, see :func:`shelf`.

    Raises:
        TranhError: a ``<name>`` that was never taught, or a subject of another model.
    """
    place = shelf(place)
    text = normalise(f"{request.prompt} {request.negative_prompt}")
    known = learned(place) if place.is_dir() else {}
    if missing := [name for name in bracketed(text) if name not in known and not isinstance(system, Foreign)]:
        raise TranhError(
            f"no subject is called {missing[0]!r}{those(known)}. Teach it from pictures: "
            f"tranh personalise {missing[0]} FOLDER"
        )
    names = bracketed(text) if isinstance(system, Foreign) else spoken_of(text, _new_to(system, known))
    subjects = [load(place, name) for name in dict.fromkeys(names) if name in known]
    return dressed(system, subjects) if subjects else system


def dressed(system: Any, subjects: Sequence[Subject]) -> Any:
    """A system that knows some subjects; the one given stays as it is.

    Raises:
        TranhError: a subject belongs to another model.
    """
    own = base_hash(system)
    for subject in subjects:
        base = subject.card["base"]
        if base["hash"] != own:
            raise TranhError(
                f"{subject.name} was learned beside {base['name']} ({base['hash']}), and this model is {system.name} "
                f"({own}): a subject fits the very weights it was learned beside. Teach it again with --model"
            )
    return _foreign(system, subjects) if isinstance(system, Foreign) else Dressed(system, subjects)


class Dressed(UnClip):
    """A hierarchy that knows some subjects.

    The prior was never shown them, so it is asked for nothing: the decoder draws from the caption alone, and there is
    no CLIP to choose among candidates by.
    """

    def __init__(self, system: UnClip, subjects: Sequence[Subject]) -> None:
        decoder = copy.deepcopy(decoder_of(system))
        table, first, numbers = decoder.text.tokens, decoder.text.tokens.num_embeddings, {}
        rows = [table.weight.detach()]
        for subject in subjects:
            start = sum(map(len, rows))
            numbers[subject.name] = range(start, start + len(subject.vectors))
            rows.append(subject.vectors.to(table.weight))
            subject.lora.pour(decoder.unet)
        decoder.text.tokens = nn.Embedding.from_pretrained(torch.cat(rows), freeze=True)
        parts = {"decoder": decoder} | ({"upsampler": system.upsampler} if system.upsampler is not None else {})
        words = with_names(system.words, numbers)
        assets = {TOKENIZER: system.tokenizer.save(), WORDS: words.save()}
        super().__init__(parts, assets | ({MEMORY: system._memory} if system._memory else {}), system.card)
        assert first == len(system.tokenizer)
        self.tokenizer = NamingTokenizer(system.tokenizer, numbers)
        self.subjects = {subject.name: fingerprint(subject.lora.tensors()) for subject in subjects}

    def settings(self, request: Request, prompt: Prompt, seed: int) -> dict[str, Any]:
        return super().settings(request, prompt, seed) | {"subjects": self.subjects}


def _foreign(system: Foreign, subjects: Sequence[Subject]) -> Foreign:
    """A pipeline with its text encoder, tokenizer and network copied, and the subjects in them by diffusers itself."""
    old = system.pipeline
    changed = {part: copy.deepcopy(old.components[part]) for part in ("unet", "text_encoder", "tokenizer")}
    pipeline = type(old)(**(old.components | changed), requires_safety_checker=False)
    try:
        for subject in subjects:
            pipeline.load_textual_inversion(str(subject.folder), weight_name=VECTORS, local_files_only=True)
            pipeline.load_lora_weights(
                str(subject.folder), weight_name=LORA, adapter_name=subject.name, local_files_only=True
            )
        pipeline.set_adapters([subject.name for subject in subjects])
    except (ImportError, ValueError) as error:
        raise TranhError(f"diffusers cannot load the LoRA ({error}); it needs: pip install peft") from error
    return Foreign(pipeline, system.name)


def _new_to(system: Any, known: Mapping[str, Any]) -> list[str]:
    """Names that are no words of the model: a word it knows stays that word unless it stands in brackets."""
    words = getattr(system, "words", ())
    return [name for name in known if name not in words]
