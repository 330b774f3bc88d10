"""A new subject for a trained text-to-image model: vectors for its name (textual inversion, Gal et al. 2022) and LoRA.

It does not know the model: it stands on one frozen parent, ``base``, whose own loss it lowers while the base stays as
it is. What keeps the rest of the base's world in place (prior preservation, Ruiz et al. 2022) is in the batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn

from tranh.nn.lora import Lora
from tranh.types import Batch, Family, ParamGroup, Phase


class Subject(Family):
    """What is learned of one subject.

    Args:
        network: name of the base's part that draws; layers: name of a linear layer in it -> [inputs, outputs]. Each
            gets a LoRA.
        embedding: name of the base's table of tokens, ``vocab`` rows of size ``dim``. Tokens from ``vocab`` on are the
            subject's own: number ``vocab + k`` is vector k.
        vectors: tokens that the name stands for.
        rank, alpha: of the LoRA.
        vector_rate: learning rate of the vectors, in those of the LoRA.
    """

    parents = ("base",)
    overfit_below: ClassVar[float] = 0.5

    def __init__(
        self,
        *,
        network: str,
        layers: Mapping[str, Sequence[int]],
        embedding: str,
        vocab: int,
        dim: int,
        vectors: int = 4,
        rank: int = 16,
        alpha: float = 16.0,
        vector_rate: float = 1.0,
    ) -> None:
        super().__init__()
        self.config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.config["layers"] = {name: list(sizes) for name, sizes in layers.items()}
        self.network, self.embedding = network, embedding
        self.vocab, self.vector_rate = vocab, vector_rate
        self.vectors = nn.Parameter(0.02 * torch.randn(vectors, dim))
        self.lora = Lora(layers, rank, alpha)

    def forward(self, batch: Batch, phase: Phase) -> dict[str, Tensor]:
        base = self.met["base"]
        with self.worn(base):
            return base(batch, phase)

    @contextmanager
    def worn(self, base: nn.Module) -> Iterator[None]:
        """Inside the block the base knows the subject's tokens and computes with its LoRA."""
        table = base.get_submodule(self.embedding)
        ids: list[Tensor] = []

        def before(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            ids.append(inputs[0])
            return (inputs[0].clamp(max=self.vocab - 1),)

        def after(_: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
            number = ids.pop() - self.vocab
            own = self.vectors[number.clamp(0, len(self.vectors) - 1)].to(out.dtype)
            return torch.where((number >= 0)[..., None], own, out)

        hooks = [table.register_forward_pre_hook(before), table.register_forward_hook(after)]
        try:
            with self.lora.worn(base.get_submodule(self.network)):
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def param_groups(self, phase: str) -> list[ParamGroup]:
        return [
            ParamGroup([self.vectors], lr_scale=self.vector_rate),
            ParamGroup(list(self.lora.parameters()), betas=(0.9, 0.99)),
        ]
