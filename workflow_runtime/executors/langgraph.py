"""Compiled graphs of LangGraph as steps: state graphs, agents of ``create_agent``, ``@entrypoint`` functions.

Imported when a step has one. A message that is a dict is the graph's input, and the content is its state; any other message
is the user's, and the content is the answer. What a graph waits for (``interrupt``) is a requirement of the run.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# The library is only in the environments of those that use it.

from __future__ import annotations

import base64
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

from anyio import to_thread
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage, messages_to_dict
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel
from langgraph.types import Command

from ..model.enums import RunStatus
from ..model.media import Media
from ..model.metrics import RunMetrics
from ..model.text import as_text
from .adapter import Adapter, Call, ExecutorError, ExecutorOutput
from .events import Events, plain
from .langgraph_interrupts import questions, resumed
from .langgraph_records import Saver, deltas, recorded_nodes
from .tasks import in_own_task

__all__ = ["LangGraphAdapter"]

_KINDS = {"images": "image", "audio": "audio", "videos": "video", "files": "file"}
_TYPES = {"images": "image/png", "audio": "audio/wav", "videos": "video/mp4", "files": "application/octet-stream"}


class LangGraphAdapter(Adapter):
    """Runs every compiled graph (``langgraph.pregel.Pregel``)."""

    library = "langgraph"
    durable = True

    def refusal(self, agent: Any) -> str | None:
        if isinstance(agent, Pregel):
            if deltas(agent) and agent.checkpointer:
                return (
                    f"the graph has channels that store differences ({', '.join(deltas(agent))}) and a checkpointer of its"
                    " own; compile it without one"
                )
            return None
        if callable(getattr(agent, "compile", None)):
            return f"a {type(agent).__name__} is not compiled; write agent=graph.compile()"
        return f"a {type(agent).__name__} has no nodes here; call it in a function step"

    def run(self, call: Call) -> AsyncIterator[Any]:
        return in_own_task(_run(call))


async def _run(call: Call) -> AsyncGenerator[Any, None]:
    talk = _Talk(call)
    yield talk.events.started() if call.paused is None else talk.events.continued()
    began = time.perf_counter()
    options = dict(call.options)
    config = _config(call, options.pop("config", None) or {})
    saver = Saver(call, config["configurable"]["thread_id"])
    await saver.load()
    graph = _graph(call, saver)
    state = await graph.aget_state(config)
    for known in saver.before:
        talk.know(known)
    for writes in saver.replayed:
        for event in talk.replayed(writes):
            yield event
    given: Any = None
    if saver.is_new:
        given = await _input(call)
        talk.know(given)
    elif call.paused is not None and (answers := resumed(state.interrupts, call.paused["asked"], call.answers)):
        given = Command(resume=answers)
    if given is not None or state.tasks:
        parts = graph.astream(
            given,
            config,
            **options,
            stream_mode=["messages", "updates", "tasks"],
            version="v2",
            subgraphs=True,
            durability="sync" if call.once is not None else "exit",
        )
        try:
            async with aclosing(parts) as stream:
                async for part in stream:
                    for event in talk.of(part):
                        yield event
        except Exception:
            if saver.error is not None:
                raise saver.error from None
            raise
        state = await graph.aget_state(config)
    output = _output(call, graph, saver, state)
    output.metrics = talk.metrics(time.perf_counter() - began)
    if output.is_paused:
        output.paused["started"] = sorted(talk.started)
        yield talk.events.paused()
    else:
        await saver.give_back()
        yield talk.events.completed(output.content, output.metrics)
    yield output


def _graph(call: Call, saver: Saver) -> Any:
    """A copy that writes its checkpoints into ``saver``; the user's graph stays as it is."""
    nodes = {"nodes": dict(recorded_nodes(call.agent, call))} if call.once is not None else {}
    return call.agent.copy({"checkpointer": saver, **nodes})


def _config(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    own = {"thread_id": call.session_id or call.run_id, "user_id": call.user_id, "run_id": call.run_id}
    return {**given, "configurable": {**own, **given.get("configurable", {})}}


# -- input -------------------------------------------------------------------------------------------------------------


async def _input(call: Call) -> Any:
    if isinstance(call.message, dict) or not isinstance(call.agent, CompiledStateGraph):
        return call.message
    names = list(call.agent.builder.schemas[call.agent.builder.input_schema])
    if "messages" not in names:
        raise ExecutorError(
            f"{call.executor_name}: the graph takes no messages, but {', '.join(names)}; let the step before it return a"
            " dict"
        )
    text = call.message if isinstance(call.message, str) else as_text(call.message) or ""
    blocks = [await _block(kind, item) for kind in _KINDS for item in getattr(call, kind) or ()]
    return {"messages": [HumanMessage([{"type": "text", "text": text}, *blocks] if blocks else text)]}


async def _block(kind: str, item: Media) -> dict[str, Any]:
    if item.url is not None:
        return {"type": _KINDS[kind], "url": item.url}
    data = await to_thread.run_sync(item.get_content_bytes) if item.filepath is not None else item.content
    text = base64.b64encode(data or b"").decode()
    block = {"type": _KINDS[kind], "base64": text, "mime_type": item.mime_type or _TYPES[kind]}
    name = getattr(item, "filename", None)
    return {**block, "filename": name} if name else block


# -- events ------------------------------------------------------------------------------------------------------------


class _Talk:
    """What the messages of the graph say: text, tool calls, and what they used."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.events = Events(call)
        self._members: dict[str, Events] = {}
        self._known: set[str] = set()
        self._calls: dict[str, Any] = {}
        self._ended: set[str] = set()
        self._usage = RunMetrics()
        self._requests = 0
        self.started: set[str] = set(call.paused["started"]) if call.paused is not None else set()
        """The ids of the tool calls that have begun, and not ended."""

    def know(self, state: Any) -> None:
        """The messages of ``state`` were counted before."""
        for message in _messages(state):
            self._note(message)

    def replayed(self, writes: list[tuple[str, Any]]) -> Iterator[Any]:
        """The events of a recorded task, but for its text."""
        yield from self._updated(dict(writes), self.events)

    def of(self, part: dict[str, Any]) -> Iterator[Any]:
        kind, data = part["type"], part["data"]
        if kind == "messages":
            yield from self._text(*data)
        elif kind == "tasks":
            if "input" in data:
                events = self._whose(data.get("metadata") or {})
                for tool in self._tools(data, part["ns"]):
                    yield from self._start(tool, events)
        elif not (data.get("__metadata__") or {}).get("cached"):
            for update in data.values():
                yield from self._updated(update, self.events)

    def _text(self, message: Any, about: dict[str, Any]) -> Iterator[Any]:
        if not isinstance(message, AIMessage):  # its chunks are AIMessages
            return
        events = self._whose(about)
        if not isinstance(message.content, str):
            for block in message.content_blocks:
                if block["type"] == "reasoning" and block.get("reasoning"):
                    yield events.reasoning(block["reasoning"])
        text = str(message.text)
        if text:
            made = events.text(text)
            self.events.first = self.events.first or events.first
            yield made

    def _whose(self, about: dict[str, Any]) -> Events:
        """The events of the agent that speaks: the graph, or an agent inside it that has a name."""
        name = about.get("lc_agent_name")
        if not name or name == self._call.executor_name:
            return self.events
        return self._members.setdefault(name, Events(self._call, name=name, agent_id=name))

    def _tools(self, task: dict[str, Any], place: tuple[str, ...]) -> list[Any]:
        """The tool calls that the task makes."""
        given = task["input"]
        if isinstance(given, dict) and isinstance(given.get("tool_call"), dict):
            given = [given["tool_call"]]
        if isinstance(given, list) and given and all(isinstance(item, dict) and "args" in item for item in given):
            return given
        node = self._call.agent.nodes.get(task["name"]) if not place else None
        if not hasattr(getattr(node, "bound", None), "tools_by_name"):
            return []
        asked = [message for message in _messages(given)[-1:] if isinstance(message, AIMessage)]
        return [tool for message in asked for tool in message.tool_calls]

    def _start(self, tool: dict[str, Any], events: Events) -> Iterator[Any]:
        made = events.tool_started(tool["id"], tool["name"], tool["args"])
        if tool["id"] not in self.started and tool["id"] not in self._ended:  # a recorded task is said to start again
            self.started.add(tool["id"])
            yield made

    def _updated(self, update: Any, events: Events) -> Iterator[Any]:
        fresh = [message for message in _messages(update) if self._note(message)]
        asked = {
            tool["id"] for message in _messages(update) if isinstance(message, AIMessage) for tool in message.tool_calls
        }
        for message in fresh:
            if isinstance(message, AIMessage):
                self._count(message)
            elif isinstance(message, ToolMessage) and message.tool_call_id not in asked:  # else no tool has run
                yield from self._end(message, events)

    def _end(self, message: Any, events: Events) -> Iterator[Any]:
        key, tool = message.tool_call_id, self._calls.get(message.tool_call_id)
        name = message.name or (tool["name"] if tool is not None else "")
        if tool is not None:
            yield from self._start(tool, events)
        self.started.discard(key)
        self._ended.add(key)
        yield events.tool_completed(key, name, message.content, error=message.status == "error")

    def _note(self, message: Any) -> bool:
        """False for a message that was seen before: a graph repeats those of its subgraphs."""
        if isinstance(message, AIMessage):
            self._calls.update({tool["id"]: tool for tool in message.tool_calls})
        key = message.id or f"{type(message).__name__}:{id(message)}"
        is_new = key not in self._known
        self._known.add(key)
        return is_new

    def _count(self, message: Any) -> None:
        self._requests += 1
        used = message.usage_metadata or {}
        into, out = used.get("input_token_details") or {}, used.get("output_token_details") or {}
        self._usage += RunMetrics(
            input_tokens=used.get("input_tokens", 0),
            output_tokens=used.get("output_tokens", 0),
            total_tokens=used.get("input_tokens", 0) + used.get("output_tokens", 0),
            audio_input_tokens=into.get("audio", 0),
            audio_output_tokens=out.get("audio", 0),
            cache_read_tokens=into.get("cache_read", 0),
            cache_write_tokens=into.get("cache_creation", 0),
            reasoning_tokens=out.get("reasoning", 0),
        )

    def metrics(self, seconds: float) -> RunMetrics:
        used = self._usage
        used.duration, used.time_to_first_token = seconds, self.events.first
        used.additional_metrics = {"requests": self._requests}
        return used


def _messages(state: Any) -> list[Any]:
    """The messages in a state or in what a node has written, whatever the channel's name is."""
    if isinstance(state, BaseMessage):
        return [state]
    values = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
    found: list[Any] = []
    for value in values:
        items = value if isinstance(value, (list, tuple)) else [value]
        found += [item for item in items if isinstance(item, BaseMessage)]
    return found


# -- the output --------------------------------------------------------------------------------------------------------


def _output(call: Call, graph: Any, saver: Saver, state: Any) -> ExecutorOutput:
    asked = questions(state)
    messages = _messages(state.values)
    output = ExecutorOutput(run_id=call.run_id, session_id=call.session_id, messages=plain(messages_to_dict(messages)))
    if asked:
        output.status, output.requirements = RunStatus.paused, [item for _, item in asked]
        output.paused = {**saver.dumped(), "asked": [[key, item["id"]] for key, item in asked]}
    else:
        output.content = _content(call, graph, saver, state.values)
    return output


def _content(call: Call, graph: Any, saver: Saver, values: Any) -> Any:
    names = graph.output_channels
    if isinstance(names, str):
        return saver.value_of(names)
    values = {name: values[name] for name in names if name in values}
    if isinstance(call.message, dict) or not {"messages"} <= set(values) <= {"messages", "structured_response"}:
        return values
    answer = values.get("structured_response")
    if answer is not None:
        return answer
    return str(values["messages"][-1].text) if values["messages"] else None
