"""The server a model is compared with: FastAPI and stock diffusers, one picture at a time.

It is what many people write first, and it is honest: the same weights, steps, guidance, precision and threads, the same
calls of the networks for each picture. Stock diffusers runs the decoder (``tranh export --to diffusers``); the caption
encoder and the prior have no class there and are the library's own.

python benchmarks/serve/peer.py [--model tranh-1] [--port 9000] [--threads 2]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from PIL import Image
from pydantic import BaseModel, ConfigDict

import tranh
from tranh.recipes.elsewhere import embeds, export_decoder
from tranh.recipes.unclip import UnClip


class Wanted(BaseModel):
    """What OpenAI's Images API calls a generation, as far as it is used here."""

    model_config = ConfigDict(extra="forbid")
    prompt: str
    model: str | None = None
    n: int = 1
    size: str = "64x64"
    seed: int = 0
    num_inference_steps: int | None = None
    guidance_scale: float | None = None


class Peer:
    """A hierarchy whose decoder stock diffusers runs."""

    def __init__(self, system: UnClip) -> None:
        from diffusers import FlowMatchEulerDiscreteScheduler, PRXPixelPipeline, PRXTransformer2DModel

        self.system = system
        with tempfile.TemporaryDirectory() as place:
            folder = export_decoder(system, Path(place) / "decoder")
            self.pipeline = PRXPixelPipeline(
                PRXTransformer2DModel.from_pretrained(folder, subfolder="transformer").eval(),
                FlowMatchEulerDiscreteScheduler.from_pretrained(folder, subfolder="scheduler"),
                text_encoder=None, tokenizer=None, default_sample_size=system.side, noise_scale=1.0,
            )  # fmt: skip
        self.pipeline.set_progress_bar_config(disable=True)

    @torch.no_grad()
    def draw(self, prompt: str, seed: int, steps: int | None = None, guidance: float | None = None) -> Image.Image:
        """The picture that the system draws for the same request, but for rounding."""
        side, system = self.system.side, self.system
        noise = torch.randn(3, side, side, generator=torch.Generator().manual_seed(seed))[None]
        with system.computing():
            told = {name: value.float() if value.is_floating_point() else value for name, value in
                    embeds(system, prompt, seed).items()}  # fmt: skip
            drawn = self.pipeline(
                **told, latents=noise, height=side, width=side, use_resolution_binning=False,
                num_inference_steps=steps or system.steps, output_type="pil",
                guidance_scale=system.guidance if guidance is None else guidance,
            )  # fmt: skip
        image: Image.Image = drawn.images[0]
        return image


def create_app(peer: Peer, alone: ThreadPoolExecutor) -> FastAPI:
    """Its server: whoever comes is drawn for in turn, by one thread."""
    app = FastAPI(title="one at a time")

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/v1/images/generations")
    async def generations(wanted: Wanted) -> dict[str, Any]:
        def drawn() -> str:
            out = io.BytesIO()
            peer.draw(wanted.prompt, wanted.seed, wanted.num_inference_steps, wanted.guidance_scale).save(out, "PNG")
            return base64.b64encode(out.getvalue()).decode()

        return {"data": [{"b64_json": await asyncio.get_running_loop().run_in_executor(alone, drawn)}]}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tranh-1")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    # It loads where it draws: had two threads computed, each would have a team of OpenMP's threads, more than there
    # are processors, which sleep between any two products (LOG.md): slower by half, and no peer any more.
    alone = ThreadPoolExecutor(1)
    peer = alone.submit(loaded, args.model, args.threads).result()
    uvicorn.run(create_app(peer, alone), port=args.port, log_level="warning")


def loaded(model: str, threads: int) -> Peer:
    torch.set_num_threads(threads)
    system = tranh.load(model)
    if not isinstance(system, UnClip):
        raise SystemExit(f"{model} is no hierarchy: stock diffusers has no class for its decoder")
    return Peer(system)


if __name__ == "__main__":
    main()
