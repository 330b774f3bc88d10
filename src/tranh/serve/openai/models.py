"""The routes that say which models there are. They know what a model tells of itself, and nothing else."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from tranh.serve import orders
from tranh.serve.keys import From
from tranh.serve.native import AtDesk

router = APIRouter(prefix="/models")


class Model(BaseModel):
    """A model; what it says of itself (sizes, tools, ...) comes with it."""

    model_config = ConfigDict(extra="allow")
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "tranh"


class Models(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


def shown(model: orders.Model) -> Model:
    """A model as clients see it."""
    more = {name: value for name, value in model.about.items() if name not in Model.model_fields}
    return Model(id=model.name, created=model.created, **more)


@router.get("", response_model=Models)
def models(desk: AtDesk, by: From) -> Models:
    """Every model of this server, the default one first."""
    return Models(data=[shown(model) for model in desk.models.values()])


@router.get("/{id:path}", response_model=Model)
def model(id: str, desk: AtDesk, by: From) -> Model:
    """A model by its name, which may have slashes in it."""
    return shown(desk.model(id))
