"""A trained latent system as a ``StableDiffusionPipeline`` folder, which stock diffusers loads and runs.

It knows the parts ``clip``, ``kl`` and ``latent``; pictures are drawn elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Bpe

from tranh.families.clip import Clip
from tranh.families.kl import Kl
from tranh.families.latent import SCHEDULE, Latent
from tranh.nn.stock import stock_state
from tranh.recipes.system import Alone
from tranh.text.tokenizer import BOS, EOS, PAD, SPECIAL, Tokenizer
from tranh.types import TranhError


def export_pipeline(system: Alone, folder: Path) -> Path:
    """Write the folder; ``StableDiffusionPipeline.from_pretrained(folder)`` draws what the system draws.

    Raises:
        TranhError: the system is none of latent diffusion, or diffusers and transformers are not installed.
    """
    clip, kl, latent = (system.parts.get(name) for name in ("clip", "kl", "latent"))
    if not (isinstance(clip, Clip) and isinstance(kl, Kl) and isinstance(latent, Latent)):
        raise TranhError(
            f"{system.name} has the parts {', '.join(system.parts)}; a StableDiffusionPipeline is made of clip, kl and "
            "latent (tranh train latent)"
        )
    try:
        from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionPipeline, UNet2DConditionModel
    except ImportError as missing:
        raise TranhError(f"this needs diffusers and transformers ({missing}): pip install them") from missing
    vae = AutoencoderKL.from_config(kl.vae.config, scaling_factor=float(latent.scale))
    vae.load_state_dict(stock_state(kl.vae))
    unet = UNet2DConditionModel.from_config(latent.unet.config)
    unet.load_state_dict(stock_state(latent.unet))
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder(clip),
        tokenizer=stock_tokenizer(system.tokenizer, latent.max_len),
        unet=unet,
        scheduler=EulerDiscreteScheduler(**SCHEDULE, steps_offset=1),  # without a meaning here; asked for
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    prompt = "a large red circle"
    how_to = HOW_TO.format(prompt=prompt, steps=system.steps or latent.steps,
                           guidance=latent.guidance if system.guidance is None else system.guidance)  # fmt: skip
    (folder / "README.md").write_text(how_to, encoding="utf-8")
    return folder


def text_encoder(clip: Clip) -> Any:
    """CLIP's text tower as ``transformers.CLIPTextModel``."""
    from transformers import CLIPTextConfig, CLIPTextModel

    c = clip.config
    config = CLIPTextConfig(
        vocab_size=c["vocab"],
        hidden_size=c["text_width"],
        intermediate_size=4 * c["text_width"],
        num_hidden_layers=c["text_depth"],
        num_attention_heads=c["text_heads"],
        max_position_embeddings=c["max_len"],
        projection_dim=c["dim"],
        hidden_act="gelu_pytorch_tanh",
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=c["eos"],
    )
    model = CLIPTextModel(config).eval()
    lacking, unknown = model.load_state_dict(clip.text_model.state_dict(), strict=False)
    if unknown or any("position_ids" not in name for name in lacking):
        raise TranhError(f"transformers keeps CLIP's text tower otherwise than known here: {[*lacking, *unknown][:4]}")
    return model


def stock_tokenizer(tokenizer: Tokenizer, length: int) -> Any:
    """A tokenizer as ``transformers.PreTrainedTokenizerFast``, with the same numbers for the same words.

    It brings text to NFC, lower case and single spaces, as prompts are here; words are not checked. Text that looks
    like a special token is plain text, as here.

    Args:
        length: tokens it pads to and cuts at, with ``<bos>`` and ``<eos>``.
    """
    from transformers import PreTrainedTokenizerFast

    bpe = Bpe(models.BPE(vocab=tokenizer.vocab, merges=tokenizer.merges))
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase(), spaces, normalizers.Strip()])
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    bpe.decoder = decoders.ByteLevel()
    pad, eos, bos, _ = SPECIAL
    bpe.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}", special_tokens=[(bos, BOS), (eos, EOS)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=AddedToken(pad, normalized=False, special=True),
        eos_token=AddedToken(eos, normalized=False, special=True),
        bos_token=AddedToken(bos, normalized=False, special=True),
        model_max_length=length,
        padding_side="right",
        split_special_tokens=True,
    )


HOW_TO = """# A StableDiffusionPipeline trained from nothing

```python
from diffusers import StableDiffusionPipeline

pipeline = StableDiffusionPipeline.from_pretrained(FOLDER)
picture = pipeline("{prompt}", num_inference_steps={steps}, guidance_scale={guidance}).images[0]
```

For the picture that Tranh draws with seed 3, hand in its noise, drawn on the CPU:

```python
import torch

noise = torch.randn(pipeline.unet.config.in_channels, *[pipeline.unet.config.sample_size] * 2,
                    generator=torch.Generator().manual_seed(3))[None]
picture = pipeline("{prompt}", latents=noise, num_inference_steps={steps}, guidance_scale={guidance}).images[0]
```
"""
