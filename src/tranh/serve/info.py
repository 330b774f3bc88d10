"""What the server can do and is doing: tools, models, how a prompt is read, status.

It knows no job.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from tranh.recipes.tools import TOOLS, Tool
from tranh.serve.desk import Desk
from tranh.serve.keys import From
from tranh.serve.native import AtDesk
from tranh.serve.orders import Model
from tranh.serve.replies import (
    FieldReply,
    ModelList,
    ModelReply,
    PromptReply,
    StatusReply,
    ToolList,
    ToolReply,
)

router = APIRouter(prefix="/api", tags=["information"])


@router.get("/tools")
def tools(desk: AtDesk, by: From) -> ToolList:
    """Everything that can be ordered, with the fields of each tool and the models that have a use for each."""
    return ToolList(data=[found for tool in TOOLS.values() if (found := _tool(tool, desk)).models])


def _tool(tool: Tool, desk: Desk) -> ToolReply:
    """A tool, and its fields as the first model that has it takes them; choices are those of any."""
    having = {
        name: model.about["tools"][tool.name] for name, model in desk.models.items() if tool.name in _tools(model)
    }
    told: dict[str, dict[str, Any]] = {}
    for name, fields in having.items():
        for field, one in fields.items():
            known = told.setdefault(field, {**one, "choices": [], "name": field, "models": []})
            known["choices"] += [choice for choice in one["choices"] if choice not in known["choices"]]
            known["models"].append(name)
    return ToolReply(
        id=tool.name, title=dict(tool.title), gives=tool.gives, models=list(having),
        fields=[FieldReply.model_validate(field) for field in told.values()],
    )  # fmt: skip


def _tools(model: Model) -> Mapping[str, Any]:
    tools: Mapping[str, Any] = model.about.get("tools", {})
    return tools


@router.get("/models")
def models(desk: AtDesk, by: From) -> ModelList:
    """The models that draw here, the default one first."""
    return ModelList(
        data=[
            ModelReply(id=name, created=model.created, default=place == 0, about=dict(model.about))
            for place, (name, model) in enumerate(desk.models.items())
        ]
    )


class Typed(BaseModel):
    """A prompt as it was typed."""

    model_config = ConfigDict(extra="forbid")
    prompt: Annotated[str, Field(max_length=32_000, examples=["a red circel"])]
    model: str | None = Field(None, max_length=200)


@router.post("/prompt")
def prompt(sent: Typed, desk: AtDesk, by: From) -> PromptReply:
    """How a model reads a prompt, without drawing it."""
    return PromptReply.model_validate(dict(desk.model(sent.model).understand(sent.prompt)))


@router.get("/status")
def status(desk: AtDesk, by: From) -> StatusReply:
    """What the engine is doing."""
    return StatusReply.model_validate(desk.engine.load())
