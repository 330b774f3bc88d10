"""The rating page's server: a rater enters, sees one comparison after the other, votes; its owner reads the results.

Nothing that a rater receives names a system: a picture's address says which side of which screen it is, its bytes are
pixels only, and an identical or spoiled pair looks like any other until it is seen. It computes no strengths itself.

    POST /api/raters    a new rater (cookie)            GET /api/results     for the owner's token
    GET  /api/task      the task that is not answered   GET /api/votes.csv   for the owner's token
    POST /api/votes     an answer; the next task        GET /pictures/TASK/SIDE-K.png
"""

from __future__ import annotations

import hmac
import io
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import Cookie, FastAPI, Header, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from tranh.data.decode import decode
from tranh.serve.guard import App, Guard, is_loopback
from tranh.serve.rating.results import as_csv, results
from tranh.serve.rating.study import Study
from tranh.serve.rating.tasks import Shown, Task, plan
from tranh.serve.rating.votes import Rater, Record, Votes
from tranh.types import TranhError

LANGUAGES = ("en", "vi")
SIDE = 512
"""Pixels of the longer side above which pictures are made smaller before they are sent."""

SECONDS = 8
"""A comparison takes about so long; what newcomers are told is made of it."""

KINDS = {
    "html": "text/html", "js": "text/javascript", "css": "text/css", "json": "application/json", "svg": "image/svg+xml",
}  # fmt: skip
_PAGE = files("tranh.serve.rating") / "page"
PAGES = {
    "/": "rate.html", "/results": "results.html",
    **{f"/{n}": n for n in ("rate.js", "rate.css", "words.js", "results.js", "i18n/en.json", "i18n/vi.json")},
}  # fmt: skip

Language = Literal["en", "vi"]
Token = Annotated[str, Cookie(alias="rater")]


class Entering(BaseModel):
    """What a new rater sends; ``token`` is the word raters were given, where one is needed."""

    model_config = ConfigDict(extra="forbid")
    language: Language
    token: str = Field("", max_length=200)


class Answered(BaseModel):
    """A vote."""

    model_config = ConfigDict(extra="forbid")
    task: str = Field(max_length=100)
    answer: Literal["left", "same", "right", "broken"]
    language: Language
    seconds: float | None = Field(None, ge=0, le=1e6, allow_inf_nan=False)


def _same(given: str, secret: str) -> bool:
    """Compared in a time that does not say where they differ; ``given`` may be any string, even half a character."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


class Desk:
    """What the routes share: the study, the votes, and the names by which raters know their tasks."""

    def __init__(self, study: Study, votes: Votes) -> None:
        self.study = study
        self.votes = votes
        self.key = votes.secret("tasks").encode()
        self.plan = lru_cache(256)(self._plan)

    def _plan(self, number: int, language: str) -> tuple[Task, ...]:
        return plan(self.study, number, int(self.study.protocol["per_rater"]), language)

    def tasks(self, rater: Rater) -> tuple[Task, ...]:
        return self.plan(rater.number, rater.language)

    def name(self, rater: Rater, position: int) -> str:
        """How a rater's browser calls a task; nobody can guess another one's."""
        mac = hmac.new(self.key, f"{rater.id}/{position}".encode(), "sha256").hexdigest()
        return f"{position}-{mac[:24]}"

    def task(self, rater: Rater, name: str) -> Task | None:
        """The task a rater's browser calls so."""
        position = name.partition("-")[0]
        if not (position.isascii() and position.isdigit() and len(position) < 6):
            return None
        tasks, k = self.tasks(rater), int(position)
        return tasks[k] if k < len(tasks) and _same(name, self.name(rater, k)) else None

    def next(self, rater: Rater, language: str) -> dict[str, Any]:
        """The first task without an answer, as JSON values; ``done`` where there is none."""
        tasks, answered = self.tasks(rater), self.votes.answered(rater.id)
        progress = {"answered": len(answered), "total": len(tasks), "language": rater.language}
        task = next((t for t in tasks if t.position not in answered), None)
        if task is None:
            return {"done": True, "code": rater.id, **progress}
        name = self.name(rater, task.position)
        caption, code = self.study.prompt(task.prompt).said(language)
        return {
            "done": False,
            "task": name,
            "question": task.question,
            # Whether a picture looks real does not depend on what it should show.
            "caption": None if task.question == "photorealism" else {"text": caption, "language": code},
            "left": [f"/pictures/{name}/left-{k}.png" for k in range(len(task.pictures[0]))],
            "right": [f"/pictures/{name}/right-{k}.png" for k in range(len(task.pictures[1]))],
            **progress,
        }

    def vote(self, rater: Rater, task: Task, answered: Answered) -> str:
        caption, code = self.study.prompt(task.prompt).said(answered.language)
        passed = None if task.right_answer is None else answered.answer == task.right_answer
        record = Record(
            rater=rater.id, position=task.position, question=task.question, seen=task.seen, prompt=caption,
            language=code, left=task.left, right=task.right, answer=answered.answer, check=task.check,
            passed=None if answered.answer == "broken" else passed, page=answered.language, seconds=answered.seconds,
        )  # fmt: skip
        return self.votes.add(record)

    def png(self, shown: Shown) -> bytes:
        """A picture's pixels and nothing else of it; spoiled ones keep their colours and lose their places."""
        picture = self.study.systems[shown.system].pictures[shown.prompt][shown.sample]
        image = decode(picture.read()).image
        image.thumbnail((SIDE, SIDE))
        pixels = np.asarray(image)  # (H, W, 3); whatever else the file says stays behind
        if shown.spoiled:
            pixels = np.random.default_rng(0).permutation(pixels.reshape(-1, 3)).reshape(pixels.shape)
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG")
        return out.getvalue()


def app(study: Study, votes: Votes, *, host: str = "127.0.0.1", token: str = "") -> App:
    """The server as an ASGI application.

    Args:
        votes: begun for this study.
        host: the address it will listen on; token: the word raters need, which any but a loopback address requires.

    Raises:
        TranhError: another address than a loopback one without a token.
    """
    if not is_loopback(host) and len(token) < 8:
        raise TranhError(
            f"{host} can be reached by other machines: add --token WORD, 8 letters or more, for the raters' link."
        )
    desk, owner = Desk(study, votes), votes.secret("owner")
    server = FastAPI(title="Tranh", docs_url=None, redoc_url=None, openapi_url=None)

    @server.exception_handler(RequestValidationError)
    def odd(request: Request, error: Exception) -> Response:  # its words would repeat what was sent, whatever that is
        return PlainTextResponse("this is not what the page sends", 422)

    def known(cookie: str) -> Rater:
        rater = votes.rater(cookie) if cookie else None
        if rater is None:
            raise HTTPException(401, "no rater: begin at the first page")
        return rater

    def check_owner(authorization: str) -> None:
        if not _same(authorization, f"Bearer {owner}"):
            raise HTTPException(401, "the owner's token is needed: it is printed where the server was started")

    @server.post("/api/raters")
    def enter(body: Entering, response: Response, rater: Token = "") -> dict[str, Any]:
        old = votes.rater(rater) if rater else None
        if old is None:
            if token and not _same(body.token, token):
                raise HTTPException(403, "this study is open to those who were given its link")
            old = votes.enter(body.language)
            response.set_cookie("rater", old.token, max_age=90 * 86400, httponly=True, samesite="strict", path="/")
        return desk.next(old, body.language)

    @server.get("/api/task")
    def task(language: Language = "en", rater: Token = "") -> dict[str, Any]:
        who = votes.rater(rater) if rater else None
        if who is None:  # what a newcomer is told before beginning
            return {"new": True, "minutes": max(1, round(len(desk.plan(0, language)) * SECONDS / 60))}
        return desk.next(who, language)

    @server.post("/api/votes")
    def vote(body: Answered, rater: Token = "") -> dict[str, Any]:
        who = known(rater)
        found = desk.task(who, body.task)
        if found is None:
            raise HTTPException(404, "there is no such task")
        kept = desk.vote(who, found, body)
        if kept != body.answer:
            raise HTTPException(409, "this task was answered otherwise before; the first answer stands")
        return desk.next(who, body.language)

    @server.get("/pictures/{name}/{side}-{number}.png")
    def picture(name: str, side: Literal["left", "right"], number: int, rater: Token = "") -> Response:
        found = desk.task(known(rater), name)
        shown = () if found is None else found.pictures[("left", "right").index(side)]
        if not 0 <= number < len(shown):
            raise HTTPException(404, "there is no such picture")
        try:
            return Response(desk.png(shown[number]), media_type="image/png", headers={"cache-control": "private"})
        except (TranhError, OSError):  # its message may name a system
            raise HTTPException(404, "the picture cannot be read") from None

    @server.get("/api/results")
    def read_results(authorization: Annotated[str, Header()] = "") -> Mapping[str, Any]:
        check_owner(authorization)
        return results(votes.all(), list(study.systems)) | {"notes": list(study.notes), "protocol": study.protocol}

    @server.get("/api/votes.csv")
    def read_votes(authorization: Annotated[str, Header()] = "") -> Response:
        check_owner(authorization)
        return Response(as_csv(votes.all()), media_type="text/csv; charset=utf-8")

    def page(name: str) -> Any:
        content, kind = (_PAGE / name).read_bytes(), KINDS[name.rpartition(".")[2]]
        return lambda: Response(content, media_type=f"{kind}; charset=utf-8", headers={"cache-control": "no-cache"})

    for route, name in PAGES.items():
        server.get(route)(page(name))
    server.get("/favicon.ico")(lambda: PlainTextResponse("", 204))
    return Guard(server, host)
