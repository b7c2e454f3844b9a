"""Requests that begin and do not go on: each ends, and takes nothing of the server with it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from workflow_runtime.server import Limits
from workflow_runtime.server.connection import connection_class
from workflow_runtime.server.running import server_for

from .flows import chat, greeting, url_of
from .serving import Served

Serve = Callable[..., Served]
SECONDS = 0.2


@pytest.fixture
def server(served: Serve, tmp_path: Path) -> Served:
    limits = Limits(receive_timeout=SECONDS)
    config = {"http": connection_class(SECONDS)}
    return served([greeting(), chat()], db=url_of(tmp_path), limits=limits, uvicorn_config=config)


def said(server: Served, *parts: bytes) -> bytes:
    """All that the server says until it closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        for part in parts:
            client.sendall(part)
        answer = b""
        while data := client.recv(65536):
            answer += data
        return answer


def request(path: str, body: bytes, length: int, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.mark.parametrize("head", [b"", b"GET ", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A"])
def test_a_head_that_does_not_end_ends_the_connection(server: Served, head: bytes) -> None:
    assert said(server, *([head] if head else [])) == b""


def test_the_second_request_of_a_connection_has_to_end_too(server: Served) -> None:
    whole = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    answer = said(server, whole, b"GET /health HTTP/1.1\r\nHost:")
    assert answer.count(b"HTTP/1.1 200 OK") == 1


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/workflows/greeting/runs", "application/json"),
        ("/workflows/greeting/runs", "application/x-www-form-urlencoded"),
        ("/workflows/greeting/runs", "multipart/form-data; boundary=b"),
        ("/workflows/greeting/agui", "application/json"),
        ("/workflows/greeting/runs/none/fork", "application/json"),
    ],
)
def test_a_body_that_does_not_end_is_answered(server: Served, path: str, kind: str) -> None:
    begun = b"--b\r\nContent-Disposition: form-data" if "multipart" in kind else b'{"input'
    head, _, body = said(server, request(path, begun, 100, f"Content-Type: {kind}")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body)["code"] == "too_slow"


@pytest.mark.parametrize("path", ["/mcp", "/inspector/workflows/greeting"])
def test_a_body_that_does_not_end_holds_no_other_protocol_up(server: Served, path: str) -> None:
    kind = "application/json" if path == "/mcp" else "application/x-www-form-urlencoded"
    headers = (f"Content-Type: {kind}", "Accept: application/json, text/event-stream")
    answer = said(server, request(path, b"{", 100, *headers))
    assert b" 200 " not in answer.partition(b"\r\n")[0]


def test_the_rest_of_a_request_that_was_refused_is_not_waited_for(served: Serve, tmp_path: Path) -> None:
    def nobody(connection: HTTPConnection) -> Any:
        return None

    config = {"http": connection_class(SECONDS), "timeout_keep_alive": 3600}
    server = served([greeting()], db=url_of(tmp_path), auth=nobody, uvicorn_config=config)
    answer = said(server, request("/workflows/greeting/runs", b"{", 100, "Content-Type: application/json"), b"1", b"2")
    assert answer.startswith(b"HTTP/1.1 401 ")


def test_a_stream_is_not_a_request_that_does_not_end(server: Served) -> None:
    body = json.dumps({"stream": True}).encode()
    answer = said(
        server,
        request("/workflows/chat/runs", body, len(body), "Content-Type: application/json", "Connection: close"),
    )
    assert b"WorkflowCompleted" in answer


def test_the_server_of_the_command_line_has_these_limits() -> None:
    config = server_for(None, "127.0.0.1", 0, limits=Limits(), grace=1.0, log_level="warning").config
    assert getattr(config.http, "seconds", None) == Limits().receive_timeout == 30.0
