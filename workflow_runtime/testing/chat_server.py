"""A model server on this machine that plays a script: the chat-completions protocol and Gemini's, streamed or not.

    with ChatServer(reply) as server:
        client = OpenAI(base_url=server.url, api_key="none")

``reply(messages, tools)`` gives a ``Turn``. Tool calls are streamed in pieces, as providers do. ``calling_each_tool`` is a
reply for programs: it calls every tool that it is offered, one per turn, and then says what they returned.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from . import gemini
from .executor_script import Script, ToolCall, Turn

__all__ = ["ChatServer", "calling_each_tool", "served"]

Reply = Callable[[list[dict[str, Any]], list[dict[str, Any]]], Turn]


class ChatServer:
    """Serves while the ``with`` block runs. ``url`` is what clients take as ``base_url``; ``origin`` those of Gemini."""

    def __init__(self, reply: Reply) -> None:
        self._ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(reply, self._ended))
        self._server.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.origin}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()


def served(script: Script) -> str:
    """The URL of a server that plays ``script`` until the process ends."""

    def play(messages: list[dict[str, Any]], _: list[dict[str, Any]]) -> Turn:
        return script.play(sum(message["role"] == "assistant" for message in messages), messages)

    return ChatServer(play).__enter__().url


def calling_each_tool(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> Turn:
    """Call the next tool that was not called, with 1 for numbers and "text" for the rest; at last, say the results."""
    results = [message for message in messages if message["role"] == "tool"]
    if len(results) < len(tools):
        function = tools[len(results)]["function"]
        kinds = {name: part.get("type") for name, part in function["parameters"].get("properties", {}).items()}
        given = {name: 1 if kind in ("integer", "number") else "text" for name, kind in kinds.items()}
        return Turn(calls=[ToolCall(function["name"], given, f"call-{len(results) + 1}")])
    said = "; ".join(_text(message["content"]) for message in results) or "nothing to do"
    return Turn(text=["Done: ", said])


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _handler(reply: Reply, ended: threading.Event) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"reply": staticmethod(reply), "ended": ended})


class _Handler(BaseHTTPRequestHandler):
    reply: Callable[..., Turn]
    ended: threading.Event

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if gemini.is_gemini(self.path):
            self._answer_gemini(body, "stream" in self.path)
            return
        turn = self.reply(body["messages"], body.get("tools") or [])
        if turn.error is not None:
            self._send(500, "application/json", [json.dumps({"error": {"message": str(turn.error)}})])
        elif body.get("stream"):
            chunks = [f"data: {json.dumps(chunk)}\n\n" for chunk in _chunks(turn)]
            if turn.hangs:  # the text, and no end
                self._send(200, "text/event-stream", chunks[: 1 + len(turn.text)])
                self.ended.wait()
            else:
                self._send(200, "text/event-stream", [*chunks, "data: [DONE]\n\n"])
        else:
            if turn.hangs:
                self.ended.wait()
            self._send(200, "application/json", [json.dumps(_whole(turn))])

    def _answer_gemini(self, body: dict[str, Any], streamed: bool) -> None:
        turn = self.reply(*gemini.asked(body))
        if turn.error is not None:
            self._send(500, "application/json", [json.dumps({"error": {"code": 500, "message": str(turn.error)}})])
            return
        parts = [json.dumps(item) for item in gemini.responses(turn, _content(turn), streamed)]
        if streamed:
            chunks = [f"data: {part}\r\n\r\n" for part in parts]
            self._send(200, "text/event-stream", chunks[: len(turn.text)] if turn.hangs else chunks)
        if turn.hangs:
            self.ended.wait()
        if not streamed:
            self._send(200, "application/json", parts)

    def _send(self, status: int, kind: str, parts: list[str]) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.end_headers()
        for part in parts:
            self.wfile.write(part.encode())
            self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """A test's output is the program's."""


def _usage(turn: Turn) -> dict[str, int]:
    total = turn.input_tokens + turn.output_tokens
    return {"prompt_tokens": turn.input_tokens, "completion_tokens": turn.output_tokens, "total_tokens": total}


def _calls(turn: Turn) -> list[dict[str, Any]]:
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
        for call in turn.calls
    ]


def _content(turn: Turn) -> str | None:
    return json.dumps(turn.structured) if turn.structured is not None else "".join(turn.text) or None


def _whole(turn: Turn) -> dict[str, Any]:
    message = {"role": "assistant", "content": _content(turn), "tool_calls": _calls(turn) or None}
    choice = {"index": 0, "message": message, "finish_reason": _reason(turn)}
    return {**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _usage(turn)}


def _chunks(turn: Turn) -> Iterator[dict[str, Any]]:
    yield _chunk({"role": "assistant", "content": ""})
    for text in [_content(turn) or ""] if turn.structured is not None else turn.text:
        yield _chunk({"content": text})
    for index, call in enumerate(_calls(turn)):
        function = call["function"]
        text, middle = function["arguments"], len(function["arguments"]) // 2
        yield _chunk({"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]})
        for piece in (text[:middle], text[middle:]):
            yield _chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield _chunk({}, _reason(turn))
    yield {**_chunk({}), "choices": [], "usage": _usage(turn)}


def _chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {
        **_HEAD,
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
    }


def _reason(turn: Turn) -> str:
    return "tool_calls" if turn.calls else "stop"


_HEAD = {"id": "chat-1", "created": 0, "model": "scripted"}
