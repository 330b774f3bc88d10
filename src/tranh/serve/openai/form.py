"""Requests that carry files: their fields as the same models that JSON is read by, their pictures checked.

It knows no field by name, but those that come in pieces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel
from starlette.datastructures import UploadFile

from tranh.serve.orders import Refused
from tranh.serve.uploads import Upload, received

MOST_FIELDS = 100
PART = 2**18
"""Bytes of a field that is no file: a prompt of 32,000 letters has at most half of it."""

NESTED = ("svg",)
"""Fields that clients send in pieces, ``NAME[PART]``; of any other name brackets are a part."""

M = TypeVar("M", bound=BaseModel)

Files = Mapping[str, Sequence[bytes]]


async def form(request: Request, model: type[M], names: Sequence[str], most: int) -> tuple[M, Files]:
    """The fields of a multipart body, and its files by field.

    Args:
        names: fields that are files; most: files.

    Raises:
        Refused, ValidationError: it is no such body, or a field is unknown, said twice, or cannot be meant.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise Refused("send the fields and files as multipart/form-data", code="invalid_content_type")
    values: dict[str, Any] = {}
    said: set[str] = set()
    files: dict[str, list[bytes]] = {}
    async with request.form(max_files=most, max_fields=MOST_FIELDS, max_part_size=PART) as sent:
        for name, value in sent.multi_items():
            if isinstance(value, UploadFile):
                if name not in names:
                    known = "unsupported_parameter" if name == "markup" else "unknown_parameter"
                    raise Refused(f"{name}: no such file is taken", code=known, param=name)
                files.setdefault(name, []).append(await value.read())
            elif name in names:
                raise Refused(f"{name} is text; send a file", code="invalid_image", param=name)
            elif name in said:
                raise Refused(f"{name} is said more than once", code="invalid_value", param=name)
            elif (field := _field(name)) not in model.model_fields:
                raise Refused(f"unknown parameter: {name}", code="unknown_parameter", param=name)
            elif value != "":
                values[field] = value
            said.add(name)
    return model.model_validate(values), files


def _field(name: str) -> str:
    plain, bracket, _ = name.partition("[")
    return plain if bracket and plain in NESTED else name


async def pictures(files: Files) -> dict[str, list[Upload]]:
    """The pictures in files.

    Raises:
        Refused: ``invalid_image`` or ``image_too_large``, with the field.
    """
    return {name: [await received(data, name) for data in each] for name, each in files.items()}


def described(
    model: type[BaseModel], files: Sequence[str], more: Sequence[str] = (), many: bool = False
) -> dict[str, Any]:
    """How the schema of the API tells such a body.

    Args:
        files: fields that are needed; more: those that are not; many: the first can be sent as a list, ``NAME[]``.
    """
    told = model.model_json_schema(ref_template="#/components/schemas/{model}")
    binary = {"type": "string", "format": "binary"}
    told["properties"] |= dict.fromkeys((*files, *more), binary)
    if many:
        told["properties"][f"{files[0]}[]"] = {"type": "array", "items": binary, "maxItems": 1}
    told["required"] = [*told.get("required", []), *([] if many else files)]
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": told}}}}
