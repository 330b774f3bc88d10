"""Small text-to-image folders of diffusers with random weights, as a stranger might have saved them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

CLIP = {
    "vocab_size": 300, "hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 77, "pad_token_id": 1, "bos_token_id": 256, "eos_token_id": 257, "projection_dim": 32,
}  # fmt: skip


def _bytes() -> list[str]:
    """The letters that byte-level BPE writes the 256 bytes in."""
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())


def clip_tokenizer() -> Any:
    """A real ``CLIPTokenizer`` whose words are bytes."""
    from transformers import CLIPTokenizer

    tokens = [*_bytes(), "<|startoftext|>", "<|endoftext|>"]
    vocab = {token: index for index, token in enumerate(tokens)}
    vocab |= {f"{token}</w>": len(vocab) + k for k, token in enumerate(_bytes()) if len(vocab) + k < 300}
    return CLIPTokenizer(vocab=vocab, merges=[], model_max_length=77)


def unet(**changes: Any) -> Any:
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    told = dict(
        block_out_channels=(8, 16), layers_per_block=1, sample_size=16, in_channels=4, out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32, norm_num_groups=4,
    )  # fmt: skip
    return UNet2DConditionModel(**(told | changes))


def vae(**changes: Any) -> Any:
    from diffusers import AutoencoderKL

    torch.manual_seed(1)
    return AutoencoderKL(
        block_out_channels=[8, 16], in_channels=3, out_channels=3, down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2, latent_channels=4, norm_num_groups=4,
        **changes,
    )  # fmt: skip


def text_encoder(projected: bool = False, **changes: Any) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(2)
    kind = CLIPTextModelWithProjection if projected else CLIPTextModel
    return kind(CLIPTextConfig(**(CLIP | changes))).eval()


def stable_diffusion(folder: Path) -> Path:
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    StableDiffusionPipeline(
        vae=vae(), text_encoder=text_encoder(), tokenizer=clip_tokenizer(), unet=unet(),
        scheduler=DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1,
                                clip_sample=False, set_alpha_to_one=False),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def sdxl(folder: Path) -> Path:
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    StableDiffusionXLPipeline(
        vae=vae(), text_encoder=text_encoder(hidden_act="gelu"), tokenizer=clip_tokenizer(),
        text_encoder_2=text_encoder(projected=True, hidden_act="gelu"), tokenizer_2=clip_tokenizer(),
        unet=unet(
            attention_head_dim=(2, 4), use_linear_projection=True, addition_embed_type="text_time",
            addition_time_embed_dim=8, transformer_layers_per_block=(1, 2), projection_class_embeddings_input_dim=80,
            cross_attention_dim=64,
        ),
        scheduler=EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
                                         steps_offset=1, timestep_spacing="leading"),
    ).save_pretrained(folder)  # fmt: skip
    return folder


def kandinsky(folder: Path) -> Path:
    """The combined pipeline: the prior makes an image embedding of the sentence, the decoder a picture of it."""
    from diffusers import (
        DDIMScheduler,
        KandinskyV22CombinedPipeline,
        PriorTransformer,
        UnCLIPScheduler,
        VQModel,
    )
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(3)
    prior = PriorTransformer(num_attention_heads=2, attention_head_dim=12, embedding_dim=32, num_layers=1)
    prior.clip_std.data.fill_(1.0)
    image_encoder = CLIPVisionModelWithProjection(
        CLIPVisionConfig(hidden_size=32, image_size=224, projection_dim=32, intermediate_size=37,
                         num_attention_heads=4, num_channels=3, num_hidden_layers=1, patch_size=56)
    )  # fmt: skip
    decoder = unet(
        in_channels=4, out_channels=8, addition_embed_type="image",
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn", encoder_hid_dim=32, encoder_hid_dim_type="image_proj",
        attention_head_dim=4, resnet_time_scale_shift="scale_shift", class_embed_type=None,
    )  # fmt: skip
    movq = VQModel(
        block_out_channels=[32, 32], down_block_types=["DownEncoderBlock2D", "AttnDownEncoderBlock2D"], in_channels=3,
        latent_channels=4, layers_per_block=1, norm_num_groups=8, norm_type="spatial", num_vq_embeddings=12,
        out_channels=3, up_block_types=["AttnUpDecoderBlock2D", "UpDecoderBlock2D"], vq_embed_dim=4,
    )  # fmt: skip
    scheduler = DDIMScheduler(
        num_train_timesteps=1000, beta_schedule="linear", beta_start=0.00085, beta_end=0.012, clip_sample=False,
        set_alpha_to_one=False, steps_offset=1, prediction_type="epsilon", thresholding=False,
    )  # fmt: skip
    prior_scheduler = UnCLIPScheduler(
        variance_type="fixed_small_log", prediction_type="sample", num_train_timesteps=1000, clip_sample_range=10.0,
        clip_sample=True,
    )  # fmt: skip
    KandinskyV22CombinedPipeline(
        unet=decoder, scheduler=scheduler, movq=movq, prior_prior=prior, prior_image_encoder=image_encoder.eval(),
        prior_text_encoder=text_encoder(projected=True), prior_tokenizer=clip_tokenizer(),
        prior_scheduler=prior_scheduler, prior_image_processor=CLIPImageProcessorPil(size={"shortest_edge": 224},
                                                                                     crop_size=224),
    ).save_pretrained(folder)  # fmt: skip
    return folder


def prx(folder: Path) -> Path:
    from diffusers import FlowMatchEulerDiscreteScheduler, PRXPipeline, PRXTransformer2DModel
    from transformers import PreTrainedTokenizerFast, T5GemmaConfig, T5GemmaModuleConfig
    from transformers.models.t5gemma.modeling_t5gemma import T5GemmaEncoder

    torch.manual_seed(4)
    part = {
        "vocab_size": 300, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 4, "max_position_embeddings": 64, "layer_types": ["full_attention"],
        "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "query_pre_attn_scalar": 4,
        "attention_dropout": 0.0, "dropout_rate": 0.0, "rms_norm_eps": 1e-6, "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": False, "sliding_window": 32, "pad_token_id": 0, "is_decoder": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }  # fmt: skip
    config = T5GemmaConfig(encoder=T5GemmaModuleConfig(**part), is_encoder_decoder=False, **part)
    transformer = PRXTransformer2DModel(
        patch_size=1, in_channels=4, context_in_dim=8, hidden_size=8, mlp_ratio=2.0, num_heads=2, depth=1,
        axes_dim=[2, 2],
    )  # fmt: skip
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=clip_tokenizer()._tokenizer, pad_token="<|endoftext|>", model_max_length=64
    )
    PRXPipeline(
        transformer=transformer.eval(), scheduler=FlowMatchEulerDiscreteScheduler(),
        text_encoder=T5GemmaEncoder(config),
        tokenizer=tokenizer, vae=vae(shift_factor=0.1), default_sample_size=32,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")
