"""The second protocol of ``ChatServer``: that of Gemini's clients, streamed or not."""

from __future__ import annotations

from typing import Any

from .executor_script import Turn

__all__ = ["asked", "is_gemini", "responses"]


def is_gemini(path: str) -> bool:
    return ":generateContent" in path or ":streamGenerateContent" in path


def asked(body: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The messages and the tools, as those of chat completions."""
    messages = []
    for content in body["contents"]:
        texts = [part["text"] for part in content["parts"] if part.get("text")]
        results = [part["functionResponse"] for part in content["parts"] if "functionResponse" in part]
        for result in results:
            messages.append({"role": "tool", "content": str(result["response"].get("result", result["response"]))})
        if not results:
            role = "assistant" if content.get("role") == "model" else "user"
            messages.append({"role": role, "content": "".join(texts), "parts": content["parts"]})
    declared = [item for tool in body.get("tools") or () for item in tool.get("functionDeclarations", ())]
    return messages, [_tool(item) for item in declared]


def _tool(item: dict[str, Any]) -> dict[str, Any]:
    parameters = item.get("parametersJsonSchema") or item.get("parameters_json_schema") or item.get("parameters") or {}
    return {"type": "function", "function": {"name": item["name"], "parameters": parameters}}


def responses(turn: Turn, content: str | None, streamed: bool) -> list[dict[str, Any]]:
    """The turn: pieces of text, and at the end the calls and the usage."""
    calls = [
        {"functionCall": {"name": call.name, "args": dict(call.arguments), **({"id": call.id} if call.id else {})}}
        for call in turn.calls
    ]
    texts = list(turn.text) if streamed and turn.structured is None else [content] if content else []
    pieces = [_response([{"text": text}]) for text in texts]
    usage = {"promptTokenCount": turn.input_tokens, "candidatesTokenCount": turn.output_tokens}
    last = {"usageMetadata": {**usage, "totalTokenCount": turn.input_tokens + turn.output_tokens}}
    if streamed:
        return [*pieces, {**_response(calls, "STOP"), **last}]
    return [{**_response([*({"text": text} for text in texts), *calls], "STOP"), **last}]


def _response(parts: list[dict[str, Any]], reason: str | None = None) -> dict[str, Any]:
    ended = {"finishReason": reason} if reason else {}
    return {"candidates": [{"content": {"role": "model", "parts": parts}, **ended}]}
