"""Pictures inside requests: clients name uploads and finished pictures by id, the desk names files by their SHA-256.

It knows neither routes nor files. An upload's id is the SHA-256 of its file, so only other pictures are looked up.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tranh.recipes.tools import TOOLS
from tranh.serve.desk import Desk
from tranh.serve.orders import Order, Record, Refused

Change = Callable[[str, str], str]
"""Field and name of a picture -> its other name."""

UPLOAD = re.compile(r"[0-9a-f]{64}")


def inward(desk: Desk, owner: str, tool: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """A request as the desk is told it.

    Raises:
        Refused: there is no such picture, or it is another's; or a text is none that can be kept.
    """
    for name, value in request.items():
        if not _sound(name) or not _sound(value):
            message = f"{name!r} has an unusable character (NUL, or half a character): remove it"
            raise Refused(message, code="invalid_value", param=name)

    def change(name: str, id: str) -> str:
        if UPLOAD.fullmatch(id):
            return id
        try:
            return desk.picture(id, owner).sha256
        except Refused as refused:
            message = f"{name}: there is no upload and no image {id!r}; send the file to /api/uploads first"
            raise Refused(message, code="invalid_value", param=name) from refused

    return _changed(tool, request, change)


def outward(desk: Desk, owner: str, records: Sequence[Record]) -> list[dict[str, Any]]:
    """The requests of jobs as their owner is told them: finished pictures by their ids."""
    files: set[str] = set()

    def seen(name: str, file: str) -> str:
        files.add(file)
        return file

    for record in records:
        _changed(record.order.tool, record.order.request, seen)
    ids = desk.named(files, owner) if files else {}
    return [
        _changed(record.order.tool, record.order.request, lambda _, file: ids.get(file, file)) for record in records
    ]


def _changed(tool: str, request: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """A request with every picture in it under another name."""
    kinds = {field.name: field.kind for field in TOOLS[tool].fields} if tool in TOOLS else {}
    return {name: CHANGES.get(kinds.get(name, ""), _kept)(name, value, change) for name, value in request.items()}


def pictures_of(order: Order) -> int:
    """How many pictures are drawn for an order: of all candidates that the best is chosen from, too."""
    return given_by(order) * _whole(_told(order, "candidates"))


def given_by(order: Order) -> int:
    """How many pictures an order gives; a walk gives its frames."""
    seeds = _told(order, "seeds")
    given = len(seeds) if isinstance(seeds, list) else 1
    return max(given, _whole(_told(order, "count")), _whole(_told(order, "frames")))


def _told(order: Order, name: str) -> Any:
    """A value of an order as its tool will read it: what is left out has the tool's own default."""
    value = order.request.get(name)
    fields = TOOLS[order.tool].fields if order.tool in TOOLS and value is None else ()
    return next((field.default for field in fields if field.name == name), value)


def made_from(order: Order) -> list[str]:
    """The files of the pictures that an order begins from or looks at, the one that is edited first, each once.

    A mask is none: it says where, and nothing of it is seen.
    """
    found: dict[str, None] = {}

    def seen(name: str, file: str) -> str:
        found[file] = None
        return file

    for field in TOOLS[order.tool].fields if order.tool in TOOLS else ():
        if field.kind in ("picture", "key"):
            CHANGES[field.kind](field.name, order.request.get(field.name), seen)
    return list(found)


def _whole(value: Any) -> int:
    """A number of pictures, as 2 or as 2.0; 1 for what is none, which is refused elsewhere."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 1
    return max(1, int(value)) if abs(value) <= sys.float_info.max else 1


def _sound(value: Any) -> bool:
    """Has every text in a value a UTF-8 form, without NUL, which databases do not keep?"""
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, Mapping):
        return all(_sound(name) and _sound(one) for name, one in value.items())
    return all(map(_sound, value)) if isinstance(value, list) else True


def _kept(name: str, value: Any, change: Change) -> Any:
    return value


def _picture(name: str, value: Any, change: Change) -> Any:
    return change(name, value) if isinstance(value, str) and value else value


def _keys(name: str, value: Any, change: Change) -> Any:
    """Each is a prompt, or ``{"image": id}``."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return value
    return [
        {**key, "image": _picture(name, key["image"], change)} if isinstance(key, Mapping) and "image" in key else key
        for key in value
    ]


CHANGES: Mapping[str, Callable[[str, Any, Change], Any]] = {"picture": _picture, "mask": _picture, "key": _keys}
"""By kind of a field; what is not as it should be is left to the tool, which says so."""
