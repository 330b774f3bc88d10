"""The server's own API of jobs: submit, list, watch, cancel, retry.

It knows no model: orders are handed to the desk.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from tranh.serve.desk import Desk
from tranh.serve.keys import From, pictures_of
from tranh.serve.orders import Order, Picture, Record

router = APIRouter(prefix="/api")


def the_desk(request: Request) -> Desk:
    """The desk of the application."""
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(the_desk)]


class Submitted(BaseModel):
    """An order as it is sent."""

    model_config = ConfigDict(extra="forbid")
    tool: str = "generate"
    model: str | None = None
    request: dict[str, Any] = Field(default_factory=dict)


def shown_picture(picture: Picture) -> dict[str, Any]:
    """A picture as clients see it."""
    return {
        "id": picture.id, "object": "image", "job": picture.job, "index": picture.index,
        "created_at": picture.created_at, "width": picture.width, "height": picture.height, "mime": picture.mime,
        "bytes": picture.bytes, "seed": picture.seed, "settings": dict(picture.settings),
        "favourite": picture.favourite, "url": f"/api/images/{picture.id}/file",
        "thumb": f"/api/images/{picture.id}/thumb",
    }  # fmt: skip


def shown(record: Record) -> dict[str, Any]:
    """A job as clients see it."""
    fault = record.fault
    return {
        "id": record.id, "object": "job", "tool": record.order.tool, "model": record.order.model,
        "status": record.status, "progress": record.progress, "step": record.step, "steps": record.steps,
        "queue_position": record.queue_position, "eta_s": record.eta_s, "created_at": record.created_at,
        "started_at": record.started_at, "completed_at": record.completed_at, "attempts": record.attempts,
        "request": dict(record.order.request), "images": [shown_picture(p) for p in record.pictures],
        "notices": list(record.notices),
        "error": fault
        and {"message": fault.message, "type": fault.type, "param": fault.param, "code": fault.code},
    }  # fmt: skip


@router.post("/jobs", status_code=202)
def submit(
    sent: Submitted, desk: AtDesk, by: From, idempotency_key: Annotated[str | None, Header(max_length=255)] = None
) -> dict[str, Any]:
    """Order pictures; they are drawn whether or not anybody waits for them."""
    order = Order(sent.tool, desk.model(sent.model).name, sent.request)
    by.pays(pictures_of(order))
    return shown(desk.submit(order, by.owner, idempotency=idempotency_key))


@router.get("/jobs")
def jobs(
    desk: AtDesk,
    by: From,
    status: str | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """Jobs, newest first."""
    found, following = desk.jobs(by.owner, status=status, cursor=cursor, limit=limit)
    return {"object": "list", "data": [shown(record) for record in found], "next": following}


@router.get("/jobs/{id}")
def job(id: str, desk: AtDesk, by: From) -> dict[str, Any]:
    """Where a job stands."""
    return shown(desk.job(id, by.owner))


@router.post("/jobs/{id}/cancel")
def cancel(id: str, desk: AtDesk, by: From) -> dict[str, Any]:
    """Stop a job."""
    return shown(desk.cancel(id, by.owner))


@router.get("/jobs/{id}/events")
def events(
    id: str, desk: AtDesk, by: From, after: int = 0, last_event_id: Annotated[str | None, Header()] = None
) -> StreamingResponse:
    """Watch a job, from the last event that was seen."""
    desk.job(id, by.owner)
    seen = int(last_event_id) if last_event_id and last_event_id.isdecimal() else after

    async def told() -> AsyncIterator[str]:
        async for update in desk.watch(id, by.owner, after=seen):
            yield f"id: {update.number}\nevent: {update.kind}\ndata: {json.dumps(dict(update.data))}\n\n"

    return StreamingResponse(told(), media_type="text/event-stream")
