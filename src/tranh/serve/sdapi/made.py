"""What was drawn, as these clients read it.

It knows no route and orders nothing.
"""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from tranh.engine.picture import describe
from tranh.serve.desk import Desk
from tranh.serve.openai.told import failed
from tranh.serve.orders import Picture, Record, Refused
from tranh.serve.sdapi.fields import Made, Txt2Img
from tranh.serve.sdapi.placed import ALWAYS


def answer(desk: Desk, record: Record, sent: Txt2Img) -> Made:
    """The reply to a call whose job has ended.

    Raises:
        Refused: there are no pictures.
    """
    if record.fault is not None:
        raise failed(record)
    if not record.pictures:
        raise Refused("it was interrupted before there was a picture", status=409, code="interrupted")
    files = [desk.file(picture) for picture in record.pictures] if sent.send_images is not False else []
    parameters = sent.model_dump(exclude=None if sent.include_init_images else {"init_images", "mask"})
    images = [base64.b64encode(data).decode() for data in files]
    return Made(images=images, parameters=parameters, info=json.dumps(_info(record, sent), ensure_ascii=False))


def _info(record: Record, sent: Txt2Img) -> dict[str, Any]:
    """What was drawn, by the names that these clients know."""
    first = record.pictures[0]
    settings = first.settings
    return {
        "prompt": sent.prompt,
        "all_prompts": [sent.prompt] * len(record.pictures),
        "negative_prompt": sent.negative_prompt or "",
        "all_negative_prompts": [sent.negative_prompt or ""] * len(record.pictures),
        "seed": first.seed,
        "all_seeds": [picture.seed for picture in record.pictures],
        "subseed": -1,
        "all_subseeds": [-1] * len(record.pictures),
        "subseed_strength": 0,
        "width": first.width,
        "height": first.height,
        "sampler_name": settings.get("sampler") or "Automatic",
        "cfg_scale": settings.get("guidance"),
        "steps": settings.get("steps"),
        "batch_size": len(record.pictures),
        "restore_faces": False,
        "sd_model_name": record.order.model,
        "sd_model_hash": str(settings.get("hash") or "")[:10],
        "denoising_strength": record.order.request.get("strength"),
        "extra_generation_params": {},
        "index_of_first_image": 0,
        "infotexts": [_infotext(picture) for picture in record.pictures],
        "styles": [],
        "job_timestamp": time.strftime("%Y%m%d%H%M%S", time.gmtime(first.created_at)),
        "clip_skip": 1,
        "version": "Tranh",
        "notices": [*record.notices, *_left_out(record, sent)],
    }


def _left_out(record: Record, sent: Txt2Img) -> list[str]:
    """What was sent and the model has no use for."""
    asked = record.order.request
    useless = [name for field, name in ALWAYS.items() if field not in asked and getattr(sent, name) not in (None, "")]
    return [f"{name}: {record.order.model} has no use for it" for name in useless]


def _infotext(picture: Picture) -> str:
    return describe(picture.settings, (picture.width, picture.height))
