"""What the server's own API answers with, as models: the shapes that its schema shows.

It knows neither routes nor the desk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from tranh.serve.orders import Picture, Record, Status

Time = Annotated[float, Field(description="unix seconds", examples=[1_790_000_000.0])]
Cursor = Annotated[str | None, Field(description="to be sent as `cursor` for the next page; null on the last one")]


class ImageReply(BaseModel):
    """A finished picture."""

    id: str
    object: Literal["image"] = "image"
    job: str = Field(description="the job that made it")
    index: int = Field(description="its place among the pictures of its job, from 0")
    created_at: Time
    width: int = Field(examples=[64])
    height: int = Field(examples=[64])
    mime: str = Field(examples=["image/png"])
    bytes: int
    seed: int = Field(description="draws this picture alone, with `count` 1")
    settings: dict[str, Any] = Field(description="everything that repeats it", examples=[{"prompt": "a red circle"}])
    favourite: bool
    url: str = Field(description="path of its file", examples=["/api/images/0c2f/file"])
    thumb: str = Field(description="path of a small WebP", examples=["/api/images/0c2f/thumb"])

    @classmethod
    def of(cls, picture: Picture) -> ImageReply:
        """A picture as clients see it."""
        return cls(
            id=picture.id, job=picture.job, index=picture.index, created_at=picture.created_at, width=picture.width,
            height=picture.height, mime=picture.mime, bytes=picture.bytes, seed=picture.seed,
            settings=dict(picture.settings), favourite=picture.favourite, url=f"/api/images/{picture.id}/file",
            thumb=f"/api/images/{picture.id}/thumb",
        )  # fmt: skip


class FaultReply(BaseModel):
    """Why a job failed."""

    message: str
    type: str = Field(examples=["server_error"])
    param: str | None
    code: str | None


class JobReply(BaseModel):
    """A job, and where it stands."""

    id: str
    object: Literal["job"] = "job"
    tool: str = Field(examples=["generate"])
    model: str = Field(examples=["tranh-1"])
    status: Status
    progress: int = Field(ge=0, le=100, description="in per cent")
    step: int = Field(description="steps done, of all its pictures together")
    steps: int = Field(description="steps in all; 0 before they are known")
    queue_position: int = Field(description="jobs that will be begun before it")
    eta_s: float | None = Field(description="seconds until it should have ended; null where nothing is known yet")
    created_at: Time
    started_at: Time | None
    completed_at: Time | None
    attempts: int = Field(description="how often it was begun")
    request: dict[str, Any] = Field(examples=[{"prompt": "a red circle", "seed": 7, "count": 4}])
    images: list[ImageReply]
    notices: list[str] = Field(description="what the user should know")
    error: FaultReply | None

    @classmethod
    def of(cls, record: Record, request: Mapping[str, Any]) -> JobReply:
        """A job as clients see it; the request too, in which the desk names pictures otherwise."""
        return cls(
            id=record.id, tool=record.order.tool, model=record.order.model, status=record.status,
            progress=record.progress, step=record.step, steps=record.steps, queue_position=record.queue_position,
            eta_s=record.eta_s, created_at=record.created_at, started_at=record.started_at,
            completed_at=record.completed_at, attempts=record.attempts,
            request=dict(request), images=[ImageReply.of(picture) for picture in record.pictures],
            notices=list(record.notices),
            error=FaultReply(**asdict(fault)) if (fault := record.fault) is not None else None,
        )  # fmt: skip


class JobList(BaseModel):
    """A page of jobs, newest first."""

    object: Literal["list"] = "list"
    data: list[JobReply]
    next: Cursor


class ImageList(BaseModel):
    """A page of pictures, newest first."""

    object: Literal["list"] = "list"
    data: list[ImageReply]
    next: Cursor


class Deleted(BaseModel):
    """What is gone."""

    id: str
    object: Literal["job", "image"]
    deleted: Literal[True] = True


class UploadReply(BaseModel):
    """A picture that was sent, and may be named in requests."""

    id: str
    object: Literal["upload"] = "upload"
    width: int
    height: int
    settings: dict[str, Any] | None = Field(description="found inside the file: what it was made with")
    program: str | None = Field(description="what wrote these settings", examples=["Tranh", "AUTOMATIC1111"])


class FieldReply(BaseModel):
    """One thing that a tool can be told."""

    name: str = Field(examples=["steps"])
    kind: str = Field(examples=["int"], description="text, int, float, bool, choice, picture, mask, box, region or key")
    default: Any = Field(description="what stands where nothing is sent; null for the model's own")
    low: float | None = Field(description="least number, edge of a box, or count of letters")
    high: float | None
    choices: list[Any] = Field(description="of a choice, and sizes where only some are made")
    needed: bool
    many: int = Field(description="a list of up to so many values; 0 for one value")
    models: list[str] = Field(description="the models that have a use for it")


class ToolReply(BaseModel):
    """Something to ask a model for."""

    id: str = Field(examples=["generate"])
    object: Literal["tool"] = "tool"
    title: dict[str, str] = Field(description="for people, by language")
    gives: str = Field(examples=["pictures"], description="pictures or animation")
    fields: list[FieldReply]
    models: list[str] = Field(description="the models that can do it")


class ToolList(BaseModel):
    """Every tool of every model."""

    object: Literal["list"] = "list"
    data: list[ToolReply]
    next: None = None


class ModelReply(BaseModel):
    """A model that draws here."""

    id: str = Field(examples=["tranh-1"])
    object: Literal["model"] = "model"
    created: int = Field(description="unix seconds")
    default: bool = Field(description="it draws where no model is named")
    about: dict[str, Any] = Field(description="what people should know", examples=[{"sizes": [64, 256]}])


class ModelList(BaseModel):
    """The models, the default one first."""

    object: Literal["list"] = "list"
    data: list[ModelReply]
    next: None = None


class UnknownWord(BaseModel):
    """A word that the model was never taught."""

    word: str
    near: list[str] = Field(description="words it knows that may be meant")


class PromptReply(BaseModel):
    """How a model reads a prompt."""

    understood: str = Field(examples=["a red circle"])
    language: str = Field(examples=["en"], description="en, vi, or und where it cannot be told")
    notices: list[str]
    unknown: list[UnknownWord] = Field(description="such a prompt is refused unless `allow_unknown` is sent")


class StatusReply(BaseModel):
    """What the engine is doing."""

    object: Literal["status"] = "status"
    queued: int = Field(description="jobs that wait")
    running: int = Field(description="jobs that are being drawn")
    speed: float = Field(description="cost (network calls) per second, from jobs that ended; 0 where nothing is known")
    calls: int = Field(description="network calls made")
    answered: int = Field(description="requests they answered; more than `calls` where jobs shared them")
