"""The OpenAPI document: it is valid, it is what the server does, and nothing that it allows breaks the server."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from workflow_runtime.server.http.operations import OPERATIONS

from .flows import approval, chat, failing, greeting, media, url_of

Api = Callable[..., httpx.Client]


def test_every_route_is_described(api: Api) -> None:
    client = api(greeting())
    document = client.get("/openapi.json").json()
    described = {(m.upper(), path) for path, methods in document["paths"].items() for m in methods}
    assert described == {(row.method, row.path) for row in OPERATIONS}
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_nothing_that_the_document_allows_breaks_the_server(
    api: Api, kind: str, request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    db = url_of(tmp_path) if kind == "sqlite" else request.getfixturevalue("postgres").new_database()
    client = api(greeting(), chat(), approval(), failing(), media(), db=db)
    known = {
        "workflow_id": ["greeting", "chat", "approval", "failing", "media"],
        "run_id": [client.post("/workflows/approval/runs", json={"session_id": "s"}).json()["run_id"]],
        "session_id": ["s"],
    }
    schema = schemathesis.openapi.from_url(str(client.base_url).rstrip("/") + "/openapi.json")
    checks: list[Any] = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ]
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=10,
            derandomize=True,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def fuzz(case: Any) -> None:
            nonlocal tried
            tried += 1
            for name, values in known.items():
                if name in (case.path_parameters or {}) and tried % 3:  # else what schemathesis thinks of
                    case.path_parameters[name] = values[tried % len(values)]
            response = case.call(timeout=60)
            case.validate_response(response, checks=checks)

        fuzz()
    assert tried > 5 * len(OPERATIONS)
    # A step that fails is logged too, with its path.
    assert not [
        record for record in caplog.records if record.levelno >= logging.ERROR and not hasattr(record, "step_path")
    ]
