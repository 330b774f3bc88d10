"""Systems for other libraries: latent diffusion and the decoder for stock diffusers, CLIP for transformers.

The decoder runs in ``PRXPixelPipeline`` with the CLIP embedding among the context; the caption encoder and the prior
stay here, and :func:`embeds` gives what they say as ``prompt_embeds``.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tranh.families.clip import Clip, to_transformers
from tranh.nn.transformer import interleave_heads
from tranh.recipes import models
from tranh.recipes.caption_judge import CaptionJudge
from tranh.recipes.exported import export
from tranh.recipes.stable import export_pipeline
from tranh.recipes.system import Alone
from tranh.recipes.unclip import LAST, UnClip
from tranh.types import TranhError


def export_decoder(system: UnClip, folder: Path) -> Path:
    """Write the decoder's transformer and its scheduler; ``PRXTransformer2DModel.from_pretrained`` loads the former.

    Returns:
        ``folder``, with ``transformer/``, ``scheduler/`` and a README that says how to run it.
    """
    unet, config = system.decoder.unet, system.decoder.config
    half = unet.head_dim // 2
    transformer = {
        "_class_name": "PRXTransformer2DModel",
        "in_channels": 3,
        "patch_size": unet.patch_size,
        "context_in_dim": config["text_dim"],
        "hidden_size": unet.hidden_size,
        "mlp_ratio": config["mlp_ratio"],
        "num_heads": config["num_heads"],
        "depth": len(unet.blocks),
        "axes_dim": [half, half],
        "theta": 10000,
        "time_factor": 1000.0,
        "time_max_period": 10000,
        "bottleneck_size": None,
        "resolution_embeds": False,
    }
    scheduler = {
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "num_train_timesteps": 1000,
        "shift": 1.0,
        "shift_terminal": LAST,
    }
    _write(folder / "transformer" / "config.json", transformer)
    _write(folder / "scheduler" / "scheduler_config.json", scheduler)
    state = interleave_heads(unet.state_dict(), unet.head_dim)
    weights = {k: v.detach().float().contiguous() for k, v in state.items()}
    save_file(weights, folder / "transformer" / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    (folder / "README.md").write_text(HOW_TO, encoding="utf-8")
    return folder


def export_to(library: str, source: str, folder: Path) -> Path:
    """Write what ``library`` can run of a trained recipe or a model.

    Args:
        library: ``diffusers`` or ``transformers``.
        source: the folder of a recipe's runs, or a model by name or path.
        folder: a new one.

    Raises:
        TranhError: ``folder`` is taken, or the system lacks the part.
    """
    if folder.exists() and any(folder.iterdir()):
        raise TranhError(f"{folder} is not empty: export into a new folder")
    if (Path(source) / "recipe.json").is_file():
        with tempfile.TemporaryDirectory() as place:
            system = models.load(export(Path(source), Path(place) / "system", "fp32"))
    else:
        system = models.load(source)
    if isinstance(system, Alone) and library == "diffusers":
        return export_pipeline(system, folder)
    if library == "diffusers":
        if not isinstance(system, UnClip):
            raise TranhError(
                f"{source} is a {type(system).__name__}; only hierarchies and latent have parts for diffusers"
            )
        return export_decoder(system, folder)
    clip = system.model if isinstance(system, CaptionJudge) else getattr(system, "parts", {}).get("clip")
    if not isinstance(clip, Clip):
        raise TranhError(f"{source} has no CLIP, so there is nothing for transformers")
    to_transformers(clip, folder)
    return folder


def _write(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")


@torch.no_grad()
def embeds(system: UnClip, prompt: str, seed: int = 0) -> dict[str, Tensor]:
    """The context of one prompt, and of no prompt, by the names ``PRXPixelPipeline`` gives them."""
    tokens, mask = system.tokenizer.encode([system.understand(prompt).text], multiple=8)
    away = system.tokenizer.encode([""])
    context, seen = system.decoder.pair_context(tokens, mask, system.embed(tokens, mask, [seed]), away)
    return {
        "negative_prompt_embeds": context[:1],
        "negative_prompt_attention_mask": seen[:1],
        "prompt_embeds": context[1:],
        "prompt_attention_mask": seen[1:],
    }


HOW_TO = """# The decoder, for diffusers

```python
import tranh
from diffusers import FlowMatchEulerDiscreteScheduler, PRXPixelPipeline, PRXTransformer2DModel
from tranh.recipes.elsewhere import embeds

system = tranh.load("tranh-1")
pipeline = PRXPixelPipeline(
    PRXTransformer2DModel.from_pretrained(FOLDER, subfolder="transformer"),
    FlowMatchEulerDiscreteScheduler.from_pretrained(FOLDER, subfolder="scheduler"),
    text_encoder=None, tokenizer=None, default_sample_size=64, noise_scale=1.0,
)
picture = pipeline(
    **embeds(system, "a red circle"), height=64, width=64, use_resolution_binning=False,
    num_inference_steps=12, guidance_scale=2.0,
).images[0]
```
"""
