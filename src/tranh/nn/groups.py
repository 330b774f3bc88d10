"""Who is updated by which optimiser: matrices inside blocks by Muon, everything else by AdamW.

It knows nothing of learning rates or of the optimisers themselves.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from tranh.types import ParamGroup


def split_matrices(module: nn.Module, weight_decay: float = 0.0, also: Iterable[nn.Parameter] = ()) -> list[ParamGroup]:
    """Parameter groups of a module by the rule of Muon (Jordan et al. 2024): only hidden matrices are orthogonalised.

    A hidden matrix is the 2-D weight of an ``nn.Linear`` below a list called ``blocks``. First and last layers,
    embeddings, modulations (they see one vector per picture, and are the widest), norms, biases and convolutions go to
    AdamW. Frozen parameters are left out; so are empty groups.

    Args:
        weight_decay: of the matrices.
        also: further matrices and kernels that Muon updates, of parts whose lists have other names.
    """
    matrices = {
        id(layer.weight)
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear) and "blocks" in name.split(".") and "modulation" not in name.split(".")
    } | {id(p) for p in also}
    params = [p for p in module.parameters() if p.requires_grad]
    muon = [p for p in params if id(p) in matrices]
    rest = [p for p in params if id(p) not in matrices]
    groups = [ParamGroup(muon, "muon", weight_decay=weight_decay), ParamGroup(rest, "adamw")]
    return [group for group in groups if group.params]
