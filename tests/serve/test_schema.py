"""The whole schema of the API against the API: nothing fails, and nothing is answered that the schema does not tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from stubs import Able

from tranh.engine.doors import Doors
from tranh.engine.jobs import Engine
from tranh.serve.app import Settings, create_app
from tranh.serve.desk import Desk
from tranh.serve.keys import read_keys

SECRET = "a-secret-of-the-tests"
EXAMPLES = 6
"""Of each operation; a longer run is told in docs/serve/api.md."""

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]  # fmt: skip

schema = schemathesis.pytest.from_fixture("told")


@pytest.fixture(scope="module")
def app() -> Iterator[FastAPI]:
    with Engine(Doors()) as engine:
        desk = Desk([Able("model")], engine)
        yield create_app(desk, Settings(keys=read_keys([f"anna:{SECRET} 999999"]), seconds=5))
        desk.close()


@pytest.fixture
def told(app: FastAPI) -> Any:
    return schemathesis.openapi.from_asgi("/openapi.json", app)


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_every_reply_is_documented(case: Any) -> None:
    case.call_and_validate(headers={"Authorization": f"Bearer {SECRET}"}, checks=CHECKS)
