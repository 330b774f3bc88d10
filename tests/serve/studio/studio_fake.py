"""The routes that the page needs beside jobs, small and in memory."""

import asyncio
import io
import json
import re
import zipfile

from fastapi import APIRouter, Request, Response
from PIL import Image

from tranh.serve.desk import Desk, as_preview
from tranh.serve.native import AtDesk, shown_picture

router = APIRouter(prefix="/api")
KNOWN = {"a", "red", "blue", "circle", "square", "on", "đỏ", "một", "hình", "tròn"}


def field(name, kind, default=None, low=None, high=None, choices=(), needed=False, many=0):
    return {"name": name, "kind": kind, "default": default, "low": low, "high": high, "choices": list(choices),
            "needed": needed, "many": many, "models": ["stub"]}  # fmt: skip


PROMPT = field("prompt", "text", None, None, 32000, needed=True)
IMAGE = field("image", "picture", needed=True)
SIZE = field("size", "int", None, 1, 4096, [64, 128, 256])
COMMON = [
    field("negative_prompt", "text", "", None, 32000), field("count", "int", 1, 1, 1000),
    field("seed", "int", 0, 0, 2**53 - 1), field("steps", "int", 4, 1, 1000), field("guidance", "float", None, 0, 100),
]  # fmt: skip
TOOLS = {
    "generate": ["Make pictures of a sentence", "Vẽ tranh từ một câu", [PROMPT, *COMMON, SIZE,
        field("sampler", "choice", None, choices=["ddim", "euler"]), field("expand", "bool", False),
        field("seeds", "int", None, 0, 2**53, many=64), field("regions", "region", None, 0, 1, many=16),
        field("allow_unknown", "bool", False)]],
    "variation": ["Draw other pictures that mean the same", "Vẽ những bức khác cùng ý nghĩa",
        [IMAGE, field("source", "text", "", None, 32000), field("strength", "float", 0.5, 0, 1), *COMMON]],
    "inpaint": ["Draw something into a part of a picture", "Vẽ thêm vào một phần của bức tranh",
        [IMAGE, field("mask", "mask", needed=True), PROMPT, *COMMON]],
    "outpaint": ["Draw on beyond the borders of a picture", "Vẽ tiếp ra ngoài mép bức tranh",
        [IMAGE, PROMPT, field("extend", "box", [0.25, 0.25, 0.25, 0.25], 0, 4), *COMMON]],
    "interpolate": ["Walk from one picture to another", "Đi dần từ bức tranh này sang bức tranh khác",
        [IMAGE, field("other", "picture", needed=True), field("frames", "int", 8, 2, 1000), *COMMON[2:]]],
    "fill": ["Fill in a missing part of a picture", "Lấp phần bị thiếu của bức tranh",
        [IMAGE, field("mask", "mask"), field("box", "box", [0.5, 0, 1, 1], 0, 1), field("rounds", "int", 30, 1, 1000)]],
    "animate": ["A walk between sentences and pictures", "Chuyến đi giữa các câu và các bức tranh",
        [field("keys", "key", None, None, 32000, needed=True, many=64), *COMMON[2:]]],
}  # fmt: skip


@router.get("/tools")
def tools():
    return {"data": [{"id": name, "title": {"en": en, "vi": vi}, "gives": "animation" if name == "animate" else "pictures",
                      "fields": fields, "models": ["stub"]} for name, (en, vi, fields) in TOOLS.items()]}  # fmt: skip


@router.get("/models")
def models():
    return {"data": [{"id": "stub", "default": True, "about": {"steps": 4, "sizes": [64]}}]}


@router.get("/status")
def status(desk: AtDesk):
    return desk.engine.load()


@router.post("/prompt")
async def prompt(request: Request):
    said = (await request.json())["prompt"]
    words = dict.fromkeys(re.findall(r"\w+", said.lower()))
    unknown = [{"word": w, "near": ["circle"] if w.startswith("circ") else []} for w in words if w not in KNOWN]
    return {"understood": said.lower(), "language": "en", "notices": [], "unknown": unknown}


@router.post("/uploads", status_code=201)
async def upload(request: Request, desk: AtDesk):
    async with request.form() as form:
        data = await form["file"].read()
    image = Image.open(io.BytesIO(data))
    told = image.info.get("tranh")
    return {"id": desk.add(data, "image/png"), "width": image.width, "height": image.height,
            "settings": told and json.loads(told)}  # fmt: skip


@router.get("/uploads/{id}/file")
def sent(id: str, desk: AtDesk):
    data = io.BytesIO()
    desk.picture_in(id).save(data, "PNG")
    return Response(data.getvalue(), media_type="image/png")


@router.get("/images")
def images(desk: AtDesk, favourite: bool | None = None, cursor: str | None = None, limit: int = 50):
    found, following = desk.pictures(favourite=favourite, cursor=cursor, limit=limit)
    return {"data": [shown_picture(one) for one in found], "next": following}


@router.get("/images/{id}")
def image(id: str, desk: AtDesk):
    return shown_picture(desk.picture(id))


@router.get("/images/{id}/file")
@router.get("/images/{id}/thumb")
def file(id: str, desk: AtDesk):
    return Response(desk.file(desk.picture(id)), media_type="image/png")


@router.patch("/images/{id}")
async def mark(id: str, request: Request, desk: AtDesk):
    return shown_picture(desk.mark(id, favourite=(await request.json())["favourite"]))


@router.delete("/images/{id}")
def discard(id: str, desk: AtDesk):
    desk.discard(id)
    return {"id": id}


@router.post("/images/zip")
async def archive(request: Request, desk: AtDesk):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        for id in (await request.json())["ids"]:
            zipped.writestr(f"{id}.png", desk.file(desk.picture(id)))
    return Response(out.getvalue(), media_type="application/zip")


@router.post("/jobs/{id}/retry", status_code=202)
def retry(id: str, desk: AtDesk):
    from tranh.serve.native import shown

    return shown(desk.retry(id))


@router.delete("/jobs/{id}")
def forget(id: str, desk: AtDesk):
    desk.remove(id)
    return {"id": id}


class Previewing(Desk):
    """Tells a preview after every step, and names pictures of the history as orders do."""

    def submit(self, order, owner="", **rest):
        request = {k: self._pictures[v].sha256 if isinstance(v, str) and v in self._pictures else v for k, v in order.request.items()}
        from dataclasses import replace

        return super().submit(replace(order, request=request), owner, **rest)

    def _say(self, id, kind, data):
        super()._say(id, kind, data)
        if kind == "progress":
            super()._say(id, "preview", {"b64_json": as_preview(Image.new("RGB", (32, 32), (200, 30 * data["step"] % 255, 40))), "index": 0})


__all__ = ["Previewing", "asyncio", "router"]
