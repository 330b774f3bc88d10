"""The route that says what a picture tells of where it comes from.

It knows no kind of mark: :mod:`tranh.recipes.marks` reads them.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from tranh.recipes.marks import provenance
from tranh.serve.keys import From
from tranh.serve.openai.form import described, form
from tranh.serve.orders import Refused
from tranh.serve.uploads import received

router = APIRouter()


class Nothing(BaseModel):
    """The fields besides the file: none."""

    model_config = ConfigDict(extra="forbid")


class Result(BaseModel):
    """What was found of a C2PA manifest."""

    model_config = ConfigDict(extra="allow")
    type: Literal["c2pa"]
    outcome: Literal["detected", "not_detected"]
    validation_state: Literal["trusted", "valid", "invalid", "not_present"]


class Check(BaseModel):
    """What a picture tells: standard marks in ``results``, this project's own in ``watermark`` and ``settings``."""

    model_config = ConfigDict(extra="allow")
    object: Literal["content_provenance_check"] = "content_provenance_check"
    created_at: int
    results: list[Result]


@router.post("/content_provenance_checks", response_model=Check, openapi_extra=described(Nothing, ("file",)))
async def check(request: Request, by: From) -> Check:
    """Was a picture made by a model, and by which? What is found is true; what is not found may have been removed."""
    _, files = await form(request, Nothing, ("file",), 1)
    if "file" not in files:
        raise Refused("file is missing: send a picture", code="missing_required_parameter", param="file")
    data = files["file"][0]
    await received(data, "file")  # no parser of marks sees what is no sound picture
    found: dict[str, Any] = await asyncio.to_thread(lambda: provenance(data).openai())
    return Check(**found)
