"""CLIP (Radford et al. 2021): pictures and captions in one space, learned by telling the pairs of a batch apart.

It knows nothing of what is done with its embeddings. Each side has two towers to choose from; saved by
:func:`to_transformers`, ViT and Transformer are what ``CLIPModel`` loads.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from tranh.nn.clip import TextTower, VisionTower
from tranh.nn.towers import BagTower, ResNetTower, named
from tranh.types import Batch, Family, ParamGroup, Phase, TranhError

Build = Callable[[Mapping[str, Any]], nn.Module]
VISION: Mapping[str, Build] = {
    "vit": lambda c: VisionTower(c["image_size"], c["patch"], c["vision_width"], c["vision_depth"], c["vision_heads"]),
    "resnet": lambda c: ResNetTower(
        c["image_size"], c["vision_width"], c["vision_depth"], c["vision_heads"], c["pool"]
    ),
}
TEXT: Mapping[str, Build] = {
    "transformer": lambda c: TextTower(
        c["vocab"], c["text_width"], c["text_depth"], c["text_heads"], c["max_len"], c["eos"]
    ),
    "cbow": lambda c: BagTower(c["vocab"], c["text_width"], c["text_depth"]),
}


class Clip(Family):
    """Two towers, two projections and a learned temperature; symmetric cross-entropy over the batch.

    Args:
        vocab, max_len, eos: of the tokenizer.
        image_size, patch: of the pictures.
        dim: size of the shared space.
        vision_width, vision_depth, vision_heads, text_width, text_depth, text_heads: of the towers.
        vision: ``vit``, or ``resnet`` (no use for ``patch``); text: ``transformer``, or ``cbow``, the bag of words (no
            use for heads, ``max_len`` and ``eos``).
        pool: how a resnet brings its places together: ``attention``, ``mean`` or ``max``.
    """

    overfit_below: ClassVar[float] = 0.2
    shared: tuple[str, ...] = ("embed_images", "embed_texts", "text_model.states")

    def __init__(
        self,
        *,
        vocab: int,
        max_len: int = 128,
        eos: int = 1,
        image_size: int = 64,
        patch: int = 8,
        dim: int = 128,
        vision_width: int = 192,
        vision_depth: int = 5,
        vision_heads: int = 3,
        text_width: int = 192,
        text_depth: int = 3,
        text_heads: int = 3,
        vision: str = "vit",
        text: str = "transformer",
        pool: str = "attention",
    ) -> None:
        super().__init__()
        self.config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.vision_model = named(VISION, "vision", vision)(self.config)
        self.text_model = named(TEXT, "text", text)(self.config)
        self.visual_projection = nn.Linear(vision_width, dim, bias=False)
        self.text_projection = nn.Linear(text_width, dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def embed_images(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> (B, D), unit length."""
        return F.normalize(self.visual_projection(self.vision_model(images)).float(), dim=-1)

    def embed_texts(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(B, T) -> (B, D), unit length."""
        return F.normalize(self.text_projection(self.text_model(tokens, mask)).float(), dim=-1)

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        image = self.embed_images(batch.images)
        text = self.embed_texts(batch.tokens, batch.mask)
        scale = self.logit_scale.float().clamp(max=math.log(100.0)).exp()
        logits = scale * image @ text.T  # (B, B)
        pairs = torch.arange(len(batch), device=logits.device)
        alike = same(batch)  # two of a small data set may meet in one batch: they are no counterexamples
        target = alike / alike.sum(1, keepdim=True)
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        right = (logits.argmax(1) == pairs).float().mean()
        return {"loss": loss, "right": right.detach(), "temperature": 1 / scale.detach()}

    def adopt(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights of another CLIP, or of a reader whose encoder is a text tower: what fits is taken over."""
        return self.fitting({f"text_model.{k[5:]}" if k.startswith("text.") else k: v for k, v in tensors.items()})

    def param_groups(self, phase: str) -> list[ParamGroup]:
        muon = [p for n, p in self.named_parameters() if p.ndim == 2 and ".layers." in n]
        chosen = {id(p) for p in muon}
        return [ParamGroup(muon, "muon"), ParamGroup([p for p in self.parameters() if id(p) not in chosen])]

    @torch.no_grad()
    def outputs(self, batch: Batch) -> dict[str, Tensor]:
        return {"text": self.embed_texts(batch.tokens, batch.mask)}

    @torch.no_grad()
    def image_outputs(self, images: Tensor) -> dict[str, Tensor]:
        return {"image": self.embed_images(images)}


def same(batch: Batch) -> Tensor:
    """(B, B) float: 1 where two examples are one picture or have one caption."""
    words = torch.where(batch.mask, batch.tokens, -1)
    alike = (batch.ids[:, None] == batch.ids) | (words[:, None] == words).all(-1)
    return alike.float()


def to_transformers(clip: Clip, folder: Path) -> None:
    """Write a folder that ``transformers.CLIPModel.from_pretrained`` loads.

    Pictures go in as (B, 3, S, S) in [-1, 1]; token ids are those of the run's own tokenizer.

    Raises:
        TranhError: a tower is none of theirs.
    """
    c = clip.config
    if (c["vision"], c["text"]) != ("vit", "transformer"):
        raise TranhError(
            f"this CLIP is {c['vision']} + {c['text']}, and CLIPModel of transformers is vit + transformer: train one "
            "of those (tranh train clip clip.model.vision=vit clip.model.text=transformer)"
        )
    tower = {"hidden_act": "gelu_pytorch_tanh", "projection_dim": c["dim"]}
    config = {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": c["dim"],
        "text_config": tower | {
            "vocab_size": c["vocab"], "hidden_size": c["text_width"], "intermediate_size": 4 * c["text_width"],
            "num_hidden_layers": c["text_depth"], "num_attention_heads": c["text_heads"],
            "max_position_embeddings": c["max_len"], "pad_token_id": 0, "eos_token_id": c["eos"], "bos_token_id": 2,
        },
        "vision_config": tower | {
            "hidden_size": c["vision_width"], "intermediate_size": 4 * c["vision_width"],
            "num_hidden_layers": c["vision_depth"], "num_attention_heads": c["vision_heads"],
            "image_size": c["image_size"], "patch_size": c["patch"],
        },
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    state = {k: v.detach().float().contiguous() for k, v in clip.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
