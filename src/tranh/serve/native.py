"""The server's own API of jobs: submit, list, watch, cancel, retry, delete.

It knows no model: orders are handed to the desk.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from tranh.serve import events as sse
from tranh.serve.desk import Desk
from tranh.serve.keys import From
from tranh.serve.orders import ENDS, Order, Record, Refused, Status, Update
from tranh.serve.replies import Deleted, ImageReply, JobList, JobReply
from tranh.serve.sources import inward, outward, pictures_of

router = APIRouter(prefix="/api", tags=["jobs"])


def the_desk(request: Request) -> Desk:
    """The desk of the application."""
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(the_desk)]
Limit = Annotated[int, Query(ge=1, le=200, description="most of a page")]
Page = Annotated[str | None, Query(max_length=200, description="`next` of the page before")]


class Submitted(BaseModel):
    """An order as it is sent."""

    model_config = ConfigDict(extra="forbid")
    tool: str = Field("generate", description="one of `GET /api/tools`", max_length=100)
    model: str | None = Field(None, description="one of `GET /api/models`; null for the default one", max_length=200)
    request: dict[str, Any] = Field(
        default_factory=dict,
        description="fields of the tool; pictures are told by the ids of uploads or images",
        examples=[{"prompt": "a red circle", "seed": 7, "count": 4}],
    )


def the_job(id: str, desk: AtDesk, by: From) -> Record:
    """The job that is asked about; known before the first byte of a reply is sent."""
    return desk.job(id, by.owner)


AJob = Annotated[Record, Depends(the_job)]


@router.post("/jobs", status_code=202)
def submit(
    sent: Submitted,
    desk: AtDesk,
    by: From,
    idempotency_key: Annotated[
        str | None, Header(max_length=255, description="the same word gives the same job for a day")
    ] = None,
) -> JobReply:
    """Order pictures; they are drawn whether or not anybody waits for them."""
    order = Order(sent.tool, desk.model(sent.model).name, inward(desk, by.owner, sent.tool, sent.request))
    record = by.orders(pictures_of(order), lambda: desk.submit(order, by.owner, idempotency=idempotency_key))
    return _shown(desk, by.owner, [record])[0]


@router.get("/jobs")
def jobs(desk: AtDesk, by: From, status: Status | None = None, cursor: Page = None, limit: Limit = 50) -> JobList:
    """Jobs, newest first."""
    found, following = desk.jobs(by.owner, status=status, cursor=cursor, limit=limit)
    return JobList(data=_shown(desk, by.owner, found), next=following)


@router.get("/jobs/{id}")
def job(record: AJob, desk: AtDesk, by: From) -> JobReply:
    """Where a job stands."""
    return _shown(desk, by.owner, [record])[0]


@router.delete("/jobs/{id}")
def remove(id: str, desk: AtDesk, by: From) -> Deleted:
    """Forget a job and its pictures; one that runs is cancelled first."""
    desk.remove(id, by.owner)
    return Deleted(id=id, object="job")


@router.post("/jobs/{id}/cancel")
def cancel(id: str, desk: AtDesk, by: From) -> JobReply:
    """Stop a job; one that has ended stays as it is."""
    return _shown(desk, by.owner, [desk.cancel(id, by.owner)])[0]


@router.post("/jobs/{id}/retry", status_code=202)
def retry(id: str, desk: AtDesk, by: From) -> JobReply:
    """The same order again, as a new job."""
    record = by.orders(pictures_of(desk.job(id, by.owner).order), lambda: desk.retry(id, by.owner))
    return _shown(desk, by.owner, [record])[0]


@router.get("/jobs/{id}/events", response_class=sse.Events)
async def events(
    record: AJob,
    desk: AtDesk,
    by: From,
    after: Annotated[int, Query(ge=0, le=10**15, description="number of the last event that was seen")] = 0,
    last_event_id: Annotated[
        str | None, Header(pattern=r"^\d{1,15}$", description="the same, as browsers send it when they come back")
    ] = None,
) -> sse.Events:
    """Watch a job, from the last event that was seen: `job`, `progress`, `preview`, `image` and at last `end`."""
    return sse.Events(_lines(desk, by.owner, record.id, int(last_event_id) if last_event_id else after))


async def _lines(desk: Desk, owner: str, id: str, seen: int) -> AsyncGenerator[str, None]:
    async with aclosing(sse.with_pauses(desk.watch(id, owner, seen))) as updates:
        async for update in updates:
            if update is None:
                yield sse.PAUSE
            else:
                yield sse.event(update.kind, await run_in_threadpool(_told, desk, owner, id, update), update.number)


def _shown(desk: Desk, owner: str, records: Sequence[Record]) -> list[JobReply]:
    requests = outward(desk, owner, records)
    return [JobReply.of(record, request) for record, request in zip(records, requests, strict=True)]


def _told(desk: Desk, owner: str, id: str, update: Update) -> Mapping[str, Any]:
    """What an event says: jobs and pictures as their routes give them."""
    try:
        if update.kind == "job":
            return _shown(desk, owner, [_then(desk.job(id, owner), update.data["status"])])[0].model_dump(mode="json")
        if update.kind == "image":
            return ImageReply.of(desk.picture(str(update.data["id"]), owner)).model_dump(mode="json")
    except Refused:  # it was deleted meanwhile
        pass
    return update.data


def _then(record: Record, status: Status) -> Record:
    """A job as it was when it was told of: before its end it had no pictures."""
    if status == record.status or status in ENDS:
        return replace(record, status=status)
    return replace(record, status=status, completed_at=None, eta_s=None, pictures=(), notices=(), fault=None)
