"""A scene as numbers: the targets of the verifier and of auxiliary losses, and the way back.

It knows the order of the words in ``world``; networks know only how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .facts import visible
from .world import FACT_GROUPS, Scene

MAX_THINGS = 4

ROLES = ("none", "front", "back", "inner", "outer")
"""What a thing is in a relation of overlap: covers another, is covered, is inside, has another inside."""

_OF_A_THING = ("kind", "colour", "shade", "size", "proportion", "material", "expression")
THING_FIELDS: Mapping[str, Sequence[str]] = {**{group: FACT_GROUPS[group] for group in _OF_A_THING}, "role": ROLES}
PICTURE_FIELDS: Mapping[str, Sequence[str]] = {group: FACT_GROUPS[group] for group in ("setting", "light", "style")}

THING_SIZES = tuple(len(words) for words in THING_FIELDS.values())
PICTURE_SIZES = tuple(len(words) for words in PICTURE_FIELDS.values())
"""Number of values of each field."""

PATCH_FIELDS = ("kind", "colour", "shade", "size", "proportion", "material", "expression")
"""Fields asked of the patches of a picture, as a free teacher of the decoder and the verifier."""

BINS = 8
"""Where in its thing a patch lies, sideways and downwards, is asked in this many steps over 1.5 times the thing."""

PATCH_SIZES = (*(len(THING_FIELDS[field]) for field in PATCH_FIELDS), BINS, BINS)
"""Number of values of each label of :func:`patches`, the 0 of the background not counted."""

_ROLE = {"in_front_of": ("front", "back"), "inside": ("inner", "outer")}


def encode(scenes: Sequence[Scene]) -> dict[str, Tensor]:
    """Labels of B scenes.

    Returns:
        ``things`` (B, 4, 8) int64: the fields of THING_FIELDS in order, -1 where the thing does not exist or the fact
        cannot be seen; ``centres`` (B, 4, 2) float32: x, y in canvas units; ``extents`` (B, 4): half the larger side;
        ``picture`` (B, 3) int64: the fields of PICTURE_FIELDS, -1 where hidden.
    """
    things = torch.full((len(scenes), MAX_THINGS, len(THING_FIELDS)), -1)
    centres = torch.zeros(len(scenes), MAX_THINGS, 2)
    extents = torch.zeros(len(scenes), MAX_THINGS)
    picture = torch.full((len(scenes), len(PICTURE_FIELDS)), -1)
    role = list(THING_FIELDS).index("role")
    column = {name: i for i, name in enumerate(THING_FIELDS)}
    row = {name: i for i, name in enumerate(PICTURE_FIELDS)}
    for b, scene in enumerate(scenes):
        for i, thing in enumerate(scene.things):
            centres[b, i, 0], centres[b, i, 1], extents[b, i] = thing.x, thing.y, thing.radius
            things[b, i, role] = 0
        for fact in visible(scene):
            if fact.group in column and fact.subject is not None:
                things[b, fact.subject, column[fact.group]] = THING_FIELDS[fact.group].index(fact.value)
            elif fact.group in row:
                picture[b, row[fact.group]] = PICTURE_FIELDS[fact.group].index(fact.value)
        for r in scene.relations:
            if r.name in _ROLE:
                for who, name in zip((r.subject, r.object), _ROLE[r.name], strict=True):
                    things[b, who, role] = ROLES.index(name)
    return {"things": things, "centres": centres, "extents": extents, "picture": picture}


def patches(labels: Mapping[str, Tensor], grid: int) -> Tensor:
    """What each patch of a picture shows.

    Args:
        labels: of :func:`encode`.
        grid: patches per side.

    Returns:
        (B, grid * grid, len(PATCH_SIZES)) int64: PATCH_FIELDS of the topmost thing whose box covers at least a quarter
        of the patch, then the patch's column and row in that thing, each plus one; 0 where there is none, -1 where the
        fact cannot be seen.
    """
    low = torch.arange(grid) / grid
    centres, r = labels["centres"], labels["extents"][..., None]  # (B, 4, 2), (B, 4, 1)
    inside = torch.minimum(low + 1 / grid, (centres + r)[..., None]) - torch.maximum(low, (centres - r)[..., None])
    inside = inside.clamp_min(0) * grid  # (B, 4, 2, grid): share of each column and row of patches that a box covers
    share = inside[:, :, 1, :, None] * inside[:, :, 0, None, :]  # (B, 4, row, column)
    things = labels["things"]
    hit = (share >= 0.25) & (things[..., 0] >= 0)[:, :, None, None]
    top = (torch.arange(1, MAX_THINGS + 1)[None, :, None, None] * hit).amax(1).flatten(1)  # (B, N), 0 for none
    columns = [list(THING_FIELDS).index(f) for f in PATCH_FIELDS]
    values = things[..., columns]  # (B, 4, F)
    values = torch.where(values >= 0, values + 1, -1)
    values = torch.cat([torch.zeros_like(values[:, :1]), values], dim=1)  # background first
    values = values.gather(1, top[..., None].expand(-1, -1, len(columns)))  # (B, N, F)
    middle = torch.stack(torch.meshgrid(low, low, indexing="xy"), dim=-1).flatten(0, 1) + 0.5 / grid  # (N, 2): x, y
    at = (top - 1).clamp_min(0)[..., None].expand(-1, -1, 2)
    inner = (middle - centres.gather(1, at)) / r.expand(-1, -1, 2).gather(1, at).clamp_min(1e-6)
    place = ((inner / 1.5 + 1) / 2 * BINS).long().clamp(0, BINS - 1) + 1
    return torch.cat([values, place * (top > 0)[..., None]], dim=-1)
