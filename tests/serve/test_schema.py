"""The whole schema of the API against the API: nothing fails, and nothing is answered that the schema does not tell."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
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
EXAMPLES = int(os.environ.get("TRANH_SCHEMA_EXAMPLES", "5"))
"""Of each operation; a longer run is told in docs/serve/api.md."""

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]  # fmt: skip


@pytest.fixture(scope="module")
def app() -> Iterator[FastAPI]:
    with Engine(Doors()) as engine:
        desk = Desk([Able("model")], engine)
        yield create_app(desk, Settings(keys=read_keys([f"anna:{SECRET} 999999"]), seconds=5))
        desk.close()


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name.lower())
def test_every_reply_is_documented(app: FastAPI, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 30
    for operation in operations:
        strategy = operation.as_strategy(generation_mode=mode)

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            phases=[Phase.generate],
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def once(case: Any) -> None:
            case.call_and_validate(headers={"Authorization": f"Bearer {SECRET}"}, checks=CHECKS)

        with suppress(Unsatisfiable):  # what takes nothing cannot be told anything wrong
            once()


def test_errors_have_one_shape_in_the_schema(app: FastAPI) -> None:
    told = app.openapi()
    for path, operations in told["paths"].items():
        for method, operation in operations.items():
            assert "summary" in operation and operation["operationId"]
            assert {"400", "401", "404", "413", "429", "500", "503"} <= set(operation["responses"]), (method, path)
            assert "HTTPValidationError" not in str(operation)
