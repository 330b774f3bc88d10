"""How the server is: whether it lives, whether it can draw, and figures for Prometheus.

It knows no model: the desk is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import BaseModel

from tranh.serve.desk import Desk
from tranh.serve.keys import From
from tranh.serve.orders import Status

router = APIRouter(tags=["status"])

SECONDS = 2.0
"""Within which a store has to answer, or the server is not ready."""

BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600)


class Lives(BaseModel):
    """It answers."""

    status: str


class Ready(BaseModel):
    """Whether it can draw, and why not."""

    status: str
    models: list[str]
    store: str


class Figures:
    """Figures of one server, as Prometheus reads them."""

    def __init__(self, desk: Desk) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tranh_http_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "tranh_http_seconds",
            "From a request to the end of its reply.",
            ("method", "route"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.jobs = Counter("tranh_jobs", "Jobs that have ended, by how.", ("status",), registry=self.registry)
        self.pictures = Counter("tranh_pictures", "Pictures made.", registry=self.registry)
        for status in ("completed", "failed", "cancelled"):
            self.jobs.labels(status)
        self.registry.register(_Engine(desk))

    def seen(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered. Methods nobody has heard of are counted as one: each would be kept for ever."""
        method = method if method in ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS") else "other"
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(method, route).observe(seconds)

    def ended(self, status: Status, pictures: int) -> None:
        """A job has ended."""
        self.jobs.labels(status).inc()
        self.pictures.inc(pictures)

    def text(self) -> bytes:
        """All of them, in Prometheus' format."""
        return generate_latest(self.registry)


class _Engine(Collector):
    """What the engine says of itself, asked when somebody reads it."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def collect(self) -> Iterator[Metric]:
        load = self.desk.engine.load()
        yield GaugeMetricFamily("tranh_queue", "Jobs that wait.", load["queued"])
        yield GaugeMetricFamily("tranh_running", "Jobs that run.", load["running"])
        yield GaugeMetricFamily("tranh_speed", "Network calls of jobs done in a second.", load["speed"])
        yield CounterMetricFamily("tranh_calls", "Calls of networks.", load["calls"])
        yield CounterMetricFamily("tranh_answered", "Jobs' calls answered by them.", load["answered"])


@router.get("/healthz", response_model=Lives)
async def lives() -> Lives:
    """Does the server live? Answered without asking anybody."""
    return Lives(status="ok")


@router.get(
    "/readyz", response_model=Ready, responses={503: {"model": Ready, "description": "Not ready: why, says `store`."}}
)
async def ready(request: Request) -> JSONResponse:
    """Can it draw? Its models are loaded, and its store answers."""
    desk: Desk = request.app.state.desk
    store = "ok"
    try:
        await asyncio.wait_for(asyncio.to_thread(desk.jobs, limit=1), SECONDS)
    except Exception as error:
        store = f"does not answer ({type(error).__name__})"
    good = bool(desk.models) and store == "ok"
    told = Ready(status="ok" if good else "not ready", models=list(desk.models), store=store)
    return JSONResponse(told.model_dump(), 200 if good else 503, {} if good else {"retry-after": "5"})


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(request: Request, by: From) -> PlainTextResponse:
    """Figures for Prometheus."""
    figures: Figures = request.app.state.figures
    return PlainTextResponse(figures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
