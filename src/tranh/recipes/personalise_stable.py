"""A Stable Diffusion folder of diffusers as ground for a new subject: what its network predicts, and what it keeps.

Nothing can be asked of such a model here, and to draw with it is slow. So the rest of its world is kept by its own
answers (distillation): where a caption does not name the subject, the network with the LoRA is asked for what it says
without.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tranh.edits.subject import shifted
from tranh.engine.frozen import Frozen
from tranh.nn.lora import linear_layers
from tranh.nn.pixels import resized
from tranh.recipes.foreign import Foreign
from tranh.recipes.personalise import Ground
from tranh.recipes.subject_pictures import REACH, Shown
from tranh.text.subjects import name_pattern
from tranh.types import Batch, Event, Family, Phase, Stage, TranhError

STEPS, BATCH, RANK, VECTORS = 400, 4, 8, 2
LAYERS = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2")
"""Of every attention of the U-Net, and the perceptron after it."""
NAMING = ("a {}", "a picture of a {}", "a photo of one {}", "a {} in the middle", "một {}")
OTHERS = ("a thing", "a picture", "a photo", "a place", "một bức tranh", "")
"""Captions of the subject, and of anything else."""
KEPT = 0.25
"""Share of a batch that keeps the rest of the model's world in place."""


class Network(Family):
    """Text encoder and U-Net of a pipeline; its loss is that of its scheduler's prediction, at the batch's noise."""

    def __init__(self, pipeline: Any) -> None:
        super().__init__()
        self.config = {}
        self.unet, self.text_encoder = pipeline.unet, pipeline.text_encoder
        self.scheduler, self.kind = pipeline.scheduler, pipeline.scheduler.config.prediction_type

    def answer(self, batch: Batch) -> Tensor:
        noisy = self.scheduler.add_noise(batch.images, batch.labels["noise"], batch.labels["time"])
        words = self.text_encoder(batch.tokens)[0]
        return self.unet(noisy, batch.labels["time"], encoder_hidden_states=words).sample.float()

    def outputs(self, batch: Batch) -> dict[str, Tensor]:
        """What it says by itself; to a name, which it does not know, anything."""
        known = self.text_encoder.get_input_embeddings().num_embeddings
        return {"answer": self.answer(batch.replace(tokens=batch.tokens.clamp(max=known - 1)))}

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        noise, time = batch.labels["noise"], batch.labels["time"]
        truth = {
            "epsilon": lambda: noise,
            "sample": lambda: batch.images,
            "v_prediction": lambda: self.scheduler.get_velocity(batch.images, noise, time),
        }[self.kind]()
        names = batch.labels["names"].view(-1, 1, 1, 1)
        return {"loss": F.mse_loss(self.answer(batch), torch.where(names, truth, batch.parts["base.answer"]))}


class Latents:
    """Batches of a subject's latents with their noise and captions, a pure function of (seed, step)."""

    def __init__(self, pipeline: Any, name: str, shown: list[Shown], vectors: int) -> None:
        self.pipeline, self.name, self.shown = pipeline, name, shown
        self.tokenizer = copy.deepcopy(pipeline.tokenizer)
        said = [f"<{name}>", *(f"<{name}>_{k}" for k in range(1, vectors))]  # as diffusers names them
        if self.tokenizer.add_tokens(said) != vectors:
            raise TranhError(f"this model's tokenizer knows <{name}> already: choose another name")
        self.spoken, self.named = " ".join(said), name_pattern(name)
        self.side = int(pipeline.unet.config.sample_size) * int(pipeline.vae_scale_factor)

    def batch(self, step: int, size: int, seed: int) -> Batch:
        return self._batch(seed, step, size)

    def validation(self, step: int, size: int) -> Batch:
        return self._batch(0, (1 << 48) + step, size)

    @torch.no_grad()
    def _batch(self, seed: int, step: int, size: int) -> Batch:
        rng = np.random.Generator(np.random.Philox(key=[seed, step]))
        images, captions = [], []
        reach, kept = round(REACH * self.side), round(KEPT * size)
        for k in range(size):
            one = self.shown[int(rng.integers(len(self.shown)))]
            dx, dy = (int(v) for v in rng.integers(-reach, reach + 1, 2))
            images.append(shifted(resized(one.image[None], self.side)[0], dx, dy))
            words = OTHERS if k < kept else one.captions or NAMING
            captions.append(self._spoken(words[int(rng.integers(len(words)))]))
        told = self.tokenizer(
            captions, padding="max_length", truncation=True, max_length=self.tokenizer.model_max_length,
            return_tensors="pt",
        )  # fmt: skip
        vae, own = self.pipeline.vae, torch.Generator().manual_seed(int(rng.integers(2**62)))
        latents = vae.encode(torch.stack(images)).latent_dist.mode() * vae.config.scaling_factor
        steps = self.pipeline.scheduler.config.num_train_timesteps
        labels = {
            "noise": torch.randn(latents.shape, generator=own),
            "time": torch.randint(0, steps, (size,), generator=own),
            "names": torch.arange(size) >= kept,
        }
        ids, mask = torch.arange(size) + step * size, told.input_ids >= 0
        return Batch(latents, captions, told.input_ids, mask, ids, labels)

    def _spoken(self, caption: str) -> str:
        """The caption with the subject's tokens at its name."""
        return self.named.sub(self.spoken, caption.replace("{}", f"<{self.name}>"))


def of_pipeline(system: Foreign, name: str, shown: list[Shown]) -> Ground:
    """A Stable Diffusion pipeline as ground.

    Raises:
        TranhError: it is another kind of pipeline.
    """
    pipeline = system.pipeline
    if type(pipeline).__name__ != "StableDiffusionPipeline":
        raise TranhError(
            f"{system.name} is a {type(pipeline).__name__}; of folders of diffusers only a StableDiffusionPipeline is "
            "taught subjects here"
        )
    network = Network(pipeline)
    table = pipeline.text_encoder.get_input_embeddings()
    embedding = next(name for name, module in network.named_modules() if module is table)
    source, first = Latents(pipeline, name, shown, VECTORS), len(pipeline.tokenizer)
    stage = Stage(
        "subject",
        model={
            "network": "unet", "layers": linear_layers(pipeline.unet, LAYERS), "embedding": embedding, "vocab": first,
            "dim": table.embedding_dim, "vectors": VECTORS, "rank": RANK, "alpha": float(RANK), "vector_rate": 10.0,
        },
        steps=STEPS, batch=BATCH, lr=1e-3, warmup=20, decay=0.5, ema=(), precision="fp32", sample_every=10**6,
        save_every=100,
    )  # fmt: skip

    def begin(vectors: Tensor) -> None:
        """Near what the model's words are."""
        with torch.no_grad():
            vectors.mul_(table.weight.std() / vectors.std() / 2).add_(table.weight.mean(0))

    def lessons() -> Iterator[Event]:
        yield Event("draw", 1, 1, result=source)

    return Ground(Frozen(network, system.hash), stage, begin, source, lessons, lambda: 0.0, 0)
