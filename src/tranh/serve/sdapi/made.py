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
from tranh.serve.sdapi.placed import ALWAYS, TYPED
from tranh.text.normalise import normalise


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
    first, request = record.pictures[0], record.order.request
    settings, prompt, negative = first.settings, request["prompt"], request.get("negative_prompt", "")
    return {
        "prompt": prompt,
        "all_prompts": [prompt] * len(record.pictures),
        "negative_prompt": negative,
        "all_negative_prompts": [negative] * len(record.pictures),
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
        "denoising_strength": request.get("strength"),
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
    """What was sent and not drawn, by the names it was sent under."""
    told, asked = [], record.order.request
    for field, name in ALWAYS.items():
        value, what = getattr(sent, name), ""
        if isinstance(value, str):
            drawn = {normalise(word) for word in TYPED.findall(asked.get(field, ""))}
            words = (word for word in TYPED.findall(value) if normalise(word) not in drawn)
            what = ", ".join(dict.fromkeys(words))
        elif value is not None and field not in asked:
            what = "it"
        if what:
            told.append(f"{name}: {record.order.model} has no use for {what}")
    if record.order.tool == "generate" and sent.denoising_strength is not None:
        told.append("denoising_strength: it is of img2img, and means nothing here")
    return told


def _infotext(picture: Picture) -> str:
    return describe(picture.settings, (picture.width, picture.height))
