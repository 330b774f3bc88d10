"""The Images API of OpenAI, as its own client speaks it: any model of this server behind it.

It knows no model: what is asked becomes an order for the desk.
"""

from fastapi import APIRouter

from tranh.serve.openai import checks, images, models

router = APIRouter(prefix="/v1", tags=["openai"])
for _topic in (images, models, checks):
    router.include_router(_topic.router)
