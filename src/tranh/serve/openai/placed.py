"""From what was asked to an order: which model and tool do it, and what they have no use for, refused by name.

It knows no HTTP beyond the names of fields.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tranh.serve.desk import Desk
from tranh.serve.openai.asked import QUALITY, Asked, Drawn
from tranh.serve.orders import Model, Order, Refused
from tranh.text.normalise import reject_broken
from tranh.types import TranhError

HIERARCHY, OWN = "dall-e-2", "dall-e-3"
"""Names that stand for a model here: one that makes variations, and the first one."""

MOST_STEPS = 1000

KEEPS = ("inpaint",)
"""Tools whose pictures have the size of the one that was sent: it may be said."""

SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})", re.ASCII)


@dataclass(frozen=True)
class Placed:
    """An order as it goes to the desk.

    Attributes:
        digest: the same for the same request; a seed that nobody asked for is not in it.
        sent: by what name the client sent each field of the order.
    """

    order: Order
    digest: str
    sent: Mapping[str, str]

    def same(self, other: Order) -> bool:
        """Does an order mean the same, but for a seed nobody asked for?"""
        mine, its = dict(self.order.request), dict(other.request)
        if "seed" not in self.sent:
            for request in (mine, its):
                request.pop("seed", None)
        return (self.order.tool, self.order.model, mine) == (other.tool, other.model, its)


def model_of(desk: Desk, name: str | None) -> Model:
    """The model of a name, or what an old name stands for.

    Raises:
        Refused: there is none.
    """
    if name in (HIERARCHY, OWN) and name not in desk.models:
        able = [model for model in desk.models.values() if "variation" in tools_of(model)]
        return able[0] if able and name == HIERARCHY else desk.model(None)
    return desk.model(name)


def tools_of(model: Model) -> Mapping[str, Any]:
    """The tools a model says it has, with the names of their fields."""
    tools: Mapping[str, Any] = model.about.get("tools", {})
    return tools


def editor(model: Model, masked: bool, strength: bool) -> str:
    """Who changes a picture: into a mask is painted; without one an instruction is followed, if the model learned to
    and no strength is asked for; else the picture is drawn again."""
    if masked:
        return "inpaint"
    return "instruct" if "instruct" in tools_of(model) and not strength else "img2img"


def placed(
    model: Model,
    tool: str,
    asked: Asked,
    pictures: Mapping[str, str],
    idempotent: str | None = None,
    sent_size: tuple[int, int] | None = None,
) -> Placed:
    """The order of what was asked.

    Args:
        pictures: field -> blob; idempotent: a word of the client's that stands for this request whatever it draws;
        sent_size: of the picture that is edited, in pixels.

    Raises:
        Refused: the model has no use for something that was said, or makes no such size.
    """
    named = asked.named()
    sent = {field: name for field, (name, _) in named.items()} | {name: name for name in pictures}
    request = {field: value for field, (_, value) in named.items()} | dict(pictures)
    for text in ("prompt", "negative_prompt"):
        try:
            reject_broken(str(request.get(text, "")))
        except TranhError as error:
            raise Refused(f"{text}: {error}", code="invalid_value", param=text) from error
    keeps = KEEPS if sent_size is not None and asked.size == f"{sent_size[0]}x{sent_size[1]}" else ()
    if tool not in keeps and (size := side_of(model, tool, asked.size)) is not None:
        request["size"], sent["size"] = size, "size"
    if isinstance(asked, Drawn) and asked.quality and "steps" not in request:
        _quality(model, tool, asked.quality, request)
        sent["steps"] = "quality"
    fields = tools_of(model).get(tool)
    for field in request:
        if fields is not None and field not in fields and not (field == "count" and request[field] == 1):
            raise Refused(
                f"{sent[field]}: {model.name} has no use for it here ({tool}); it can be told {', '.join(fields)}",
                code="unsupported_parameter",
                param=sent[field],
            )
    told = json.dumps([tool, model.name, request], sort_keys=True)
    digest = hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()
    if "seed" not in request and (fields is None or "seed" in fields):
        # an Idempotency-Key names one order, so that its seed cannot be another each time
        known = hashlib.sha256(f"{idempotent}\0{digest}".encode("utf-8", "replace")).digest()
        request["seed"] = secrets.randbelow(2**31) if idempotent is None else int.from_bytes(known[:4]) >> 1
    return Placed(Order(tool, model.name, request), digest, sent)


def side_of(model: Model, tool: str, size: str | None) -> int | None:
    """The side that is meant, None for the model's own.

    Raises:
        Refused: ``invalid_size``: it makes no such pictures.
    """
    if size is None or size == "auto":
        return None
    found = SIZE.fullmatch(size)
    width, height = (int(found[1]), int(found[2])) if found else (0, 0)
    sizes = [int(side) for side in model.about.get("sizes", ())]
    fields = tools_of(model).get(tool)
    if fields is not None and "size" not in fields:
        raise Refused(
            f"size is {size}; allowed: auto (with {tool}, {model.name} gives a picture the size that comes of itself)",
            code="invalid_size",
            param="size",
        )
    if not width or width != height or (sizes and width not in sizes):
        allowed = ", ".join(["auto", *(f"{side}x{side}" for side in sizes)])
        raise Refused(f"size is {size}; {model.name} makes: {allowed}", code="invalid_size", param="size")
    return width


def _quality(model: Model, tool: str, quality: str, request: dict[str, Any]) -> None:
    times = QUALITY[quality]
    if times == 1.0:
        return
    own = model.about.get("steps")
    fields = tools_of(model).get(tool)
    if not own or (fields is not None and "steps" not in fields):
        raise Refused(
            f"quality: {model.name} has one quality here, leave it out or say auto",
            code="unsupported_parameter",
            param="quality",
        )
    request["steps"] = min(MOST_STEPS, max(1, round(times * int(own))))


def renamed(error: TranhError, sent: Mapping[str, str]) -> TranhError:
    """A fault of a field, by the name it was sent by."""
    field = getattr(error, "field", None) or getattr(error, "param", None)
    if field is None or field not in sent:
        return error
    code = getattr(error, "code", None) or "invalid_value"
    return Refused(str(error), status=getattr(error, "status", 400), code=code, param=sent[field])
