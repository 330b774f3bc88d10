"""LoRA (Hu et al. 2021): linear layers of a trained network with a low-rank map learned beside each, W x + s B A x.

It knows neither the network nor what is learned. Names and shapes are those of peft and diffusers (``lora_A``,
``lora_B``), so either library computes the same from the saved tensors; that the maps belong to a module of their own,
and not to the network, keeps the network as it was and the checkpoints as small as what is learned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def linear_layers(network: nn.Module, endings: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Name -> (inputs, outputs) of every linear layer whose name is, or ends with, one of ``endings`` after a dot."""
    return {
        name: (layer.in_features, layer.out_features)
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear) and any(f".{name}".endswith(f".{ending}") for ending in endings)
    }


class Lora(nn.Module):
    """The maps beside some layers; at first B is zero and nothing is changed.

    Args:
        layers: name of a linear layer -> (inputs, outputs).
        rank: of B A; alpha: s = alpha / rank.
    """

    def __init__(self, layers: Mapping[str, Sequence[int]], rank: int, alpha: float) -> None:
        super().__init__()
        self.names, self.rank, self.alpha = list(layers), rank, alpha
        self.A = nn.ParameterList(nn.Parameter(torch.empty(rank, inputs)) for inputs, _ in layers.values())
        self.B = nn.ParameterList(nn.Parameter(torch.zeros(outputs, rank)) for _, outputs in layers.values())
        for a in self.A:
            nn.init.kaiming_uniform_(a, a=math.sqrt(5))  # as peft

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    @contextmanager
    def worn(self, network: nn.Module) -> Iterator[None]:
        """Inside the block the network computes with the maps; gradients reach them."""
        with ExitStack() as stack:
            for name, a, b in zip(self.names, self.A, self.B, strict=True):
                hook = network.get_submodule(name).register_forward_hook(_beside(a, b, self.scale))
                stack.callback(hook.remove)
            yield

    @torch.no_grad()
    def pour(self, network: nn.Module) -> None:
        """Add the maps to the network's own weights, for good."""
        for name, a, b in zip(self.names, self.A, self.B, strict=True):
            weight = network.get_parameter(f"{name}.weight")
            weight.add_((self.scale * (b @ a)).to(weight))

    def tensors(self, prefix: str = "") -> dict[str, Tensor]:
        """The maps by their names in peft's and diffusers' files; ``prefix`` comes before each."""
        pairs = zip(self.names, self.A, self.B, strict=True)
        return {f"{prefix}{name}.lora_{which}.weight": x.detach() for name, *ab in pairs for which, x in zip("AB", ab)}

    @staticmethod
    def of(tensors: Mapping[str, Tensor], alpha: float, prefix: str = "") -> Lora:
        """What :meth:`tensors` gave, as a module again.

        Raises:
            ValueError: the tensors are no pairs of one rank.
        """
        first = {k.removeprefix(prefix): v for k, v in tensors.items() if k.endswith(".lora_A.weight")}
        names = [k.removesuffix(".lora_A.weight") for k in first]
        ranks = {len(a) for a in first.values()}
        if len(ranks) != 1 or 2 * len(names) != len(tensors):
            raise ValueError(f"{len(tensors)} tensors are no pairs lora_A, lora_B of one rank (ranks {sorted(ranks)})")
        sizes = {n: (first[f"{n}.lora_A.weight"].shape[1], len(tensors[f"{prefix}{n}.lora_B.weight"])) for n in names}
        out = Lora(sizes, ranks.pop(), alpha)
        with torch.no_grad():
            for name, a, b in zip(names, out.A, out.B, strict=True):
                a.copy_(first[f"{name}.lora_A.weight"])
                b.copy_(tensors[f"{prefix}{name}.lora_B.weight"])
        return out


def _beside(a: Tensor, b: Tensor, scale: float) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    def hook(_: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
        return out + scale * F.linear(F.linear(inputs[0], a), b).to(out.dtype)

    return hook
