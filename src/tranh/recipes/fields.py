"""What a tool can be told, field by field, and how plain JSON values become a request.

It knows no tool and no model. A fault names the field it lies in.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from PIL.Image import Image

from tranh.types import Region, Request, TranhError

Kind = Literal["text", "int", "float", "bool", "choice", "picture", "mask", "box", "region", "key"]
"""``box``: left, top, right, bottom. ``region``: ``{"prompt", "box"}``. ``key``: a prompt, or ``{"image": id}``."""

Asked = tuple[Request, dict[str, Any]]
"""A request, and the tool's options that are none of its fields."""


class Wrong(TranhError):
    """A value that cannot be meant; ``field`` is whose."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Field:
    """One thing a tool can be told.

    Attributes:
        name: that of the request's field wherever it has one, else of an option of the tool.
        default: what stands where nothing is said; None for the model's own.
        low, high: of a number, of every edge of a box, and of the letters of a text.
        choices: of a choice; empty where only the model knows them.
        needed: nothing can stand for it.
        many: a list of up to so many values, and of at least ``fewest``; 0 for one value.
    """

    name: str
    kind: Kind
    default: Any = None
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] = ()
    needed: bool = False
    many: int = 0
    fewest: int = 0

    def read(self, value: Any, picture: Callable[[str], Image]) -> Any:
        """The value of plain JSON that was sent for this field.

        Args:
            picture: the picture that an id stands for.

        Raises:
            Wrong: it is of another kind, or out of range.
        """
        if not self.many:
            return self._one(value, picture)
        count = f"{self.fewest} to {self.many}" if self.fewest else f"up to {self.many}"
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise self.refuse(value, f"a list of {count} values")
        if not self.fewest <= len(value) <= self.many:
            raise Wrong(self.name, f"{self.name} has {len(value)} values; allowed: {count}")
        return tuple(self._one(each, picture) for each in value)

    def _one(self, value: Any, picture: Callable[[str], Image]) -> Any:
        return READERS[self.kind](self, value, picture)

    def refuse(self, value: Any, allowed: str) -> Wrong:
        return Wrong(self.name, f"{self.name} is {_shown(value)}; allowed: {allowed}")

    def within(self, value: float, what: str) -> float:
        """A number, if it is in range."""
        low, high = self.low, self.high
        if (low is not None and value < low) or (high is not None and value > high):
            raise self.refuse(value, f"{what}{_range(low, high)}")
        return value


def asked(told: Sequence[Field], values: Mapping[str, Any], picture: Callable[[str], Image]) -> Asked:
    """A request, and options, of plain JSON values.

    Args:
        told: the fields of a tool; what they leave open gets their default. None is as good as nothing.
        picture: the picture that an id stands for; a fault of it is told as the field's.

    Raises:
        Wrong: a field is unknown or missing, or its value cannot be meant.
    """
    known = {field.name: field for field in told}
    for name in values:
        if name not in known:
            raise Wrong(name, f"there is no field {name!r}; allowed: {', '.join(known)}")
    read: dict[str, Any] = {}
    for name, field in known.items():
        value = values.get(name)
        if value is None or (field.needed and value == ""):
            if field.needed:
                raise Wrong(name, f"{name} is missing, and nothing can stand for it")
            value = field.default
            if value is not None:
                read[name] = value
            continue
        read[name] = field.read(value, picture)
    own = {one.name for one in fields(Request)}
    return (
        Request(**({"prompt": ""} | {name: value for name, value in read.items() if name in own})),
        {name: value for name, value in read.items() if name not in own},
    )


def _text(field: Field, value: Any, picture: Callable[[str], Image]) -> str:
    if not isinstance(value, str):
        raise field.refuse(value, "text")
    if field.high is not None and len(value) > field.high:
        raise field.refuse(value, f"a text of up to {field.high:g} letters")
    return value


def _number(field: Field, value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
        raise field.refuse(value, f"{what}{_range(field.low, field.high)}")
    return value


def _int(field: Field, value: Any, picture: Callable[[str], Image]) -> int:
    what = "a whole number, "
    if _number(field, value, what) != int(value):
        raise field.refuse(value, f"{what}{_range(field.low, field.high)}")
    return int(field.within(int(value), what))


def _float(field: Field, value: Any, picture: Callable[[str], Image]) -> float:
    return float(field.within(_number(field, value, "a number, "), "a number, "))


def _bool(field: Field, value: Any, picture: Callable[[str], Image]) -> bool:
    if not isinstance(value, bool):
        raise field.refuse(value, "true or false")
    return value


def _choice(field: Field, value: Any, picture: Callable[[str], Image]) -> Any:
    allowed = field.choices or ((value,) if isinstance(value, str) else ())
    if isinstance(value, bool) or value not in allowed:
        raise field.refuse(value, ", ".join(map(str, field.choices)) or "a name")
    return value


def _picture(field: Field, value: Any, picture: Callable[[str], Image]) -> Image:
    if not isinstance(value, str):
        raise field.refuse(value, "the id of a picture")
    try:
        return picture(value)
    except TranhError as error:
        raise Wrong(field.name, f"{field.name}: {error}") from error


def _box(field: Field, value: Any, picture: Callable[[str], Image]) -> tuple[float, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 4:
        raise field.refuse(value, "four numbers: left, top, right, bottom")
    return tuple(float(field.within(_number(field, edge, "numbers, "), "numbers, ")) for edge in value)


def _region(field: Field, value: Any, picture: Callable[[str], Image]) -> Region:
    if not isinstance(value, Mapping) or set(value) != {"prompt", "box"} or not isinstance(value["prompt"], str):
        raise field.refuse(value, '{"prompt": a text, "box": [left, top, right, bottom]}')
    left, top, right, bottom = _box(field, value["box"], picture)
    return Region(value["prompt"], left, top, right, bottom)


def _key(field: Field, value: Any, picture: Callable[[str], Image]) -> str | Image:
    if isinstance(value, str):
        return _text(field, value, picture)
    if not isinstance(value, Mapping) or set(value) != {"image"}:
        raise field.refuse(value, 'a prompt, or {"image": the id of a picture}')
    return _picture(field, value["image"], picture)


READERS: Mapping[Kind, Callable[[Field, Any, Callable[[str], Image]], Any]] = {
    "text": _text, "int": _int, "float": _float, "bool": _bool, "choice": _choice, "picture": _picture,
    "mask": _picture, "box": _box, "region": _region, "key": _key,
}  # fmt: skip


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"at least {low:g}" if low is not None else f"at most {high:g}" if high is not None else "of any size"
    return f"{low:g} to {high:g}"
