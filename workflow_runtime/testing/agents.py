"""Agents and teams that say what a script tells them to, for tests, examples and demonstrations without a model.

They satisfy ``workflow_runtime.executors.Executor`` and nothing else of this package treats them specially.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import anyio.lowlevel
import msgspec

from ..model.enums import RunStatus
from ..model.executor_events import EXECUTOR_EVENTS, ExecutorEvent
from ..model.media import Audio, File, Image, Video
from ..model.metrics import RunMetrics

__all__ = ["Reply", "ScriptedAgent", "ScriptedOutput", "ScriptedTeam"]


class Reply(msgspec.Struct, kw_only=True):
    """What the agent does when it is called once.

    ``content``: text (streamed word by word), a list of texts (streamed as they are), or any other value (not
    streamed). ``tools``: names of tools that it pretends to call first. ``error`` is raised after the content was
    streamed. ``asks``: requirements, as dicts with an ``id``; it pauses with them, and when continued goes on with
    ``then``: a further reply, or a function of the answered requirements that gives one.
    """

    content: Any = None
    tools: Sequence[str] = ()
    error: Exception | None = None
    asks: Sequence[dict[str, Any]] = ()
    then: Any = None
    metrics: RunMetrics | None = None
    images: list[Image] | None = None
    videos: list[Video] | None = None
    audio: list[Audio] | None = None
    files: list[File] | None = None


class ScriptedOutput(msgspec.Struct, kw_only=True):
    """The output object. ``reply`` is the position in the script, so that a paused one can be continued elsewhere."""

    content: Any = None
    run_id: str | None = None
    session_id: str | None = None
    status: RunStatus = RunStatus.completed
    metrics: RunMetrics | None = None
    images: list[Image] | None = None
    videos: list[Video] | None = None
    audio: list[Audio] | None = None
    files: list[File] | None = None
    messages: list[dict[str, Any]] | None = None
    requirements: list[dict[str, Any]] | None = None
    reply: int = 0

    @property
    def is_paused(self) -> bool:
        return self.status is RunStatus.paused


class ScriptedAgent:
    """``Step(agent=ScriptedAgent("writer", "Hello there"))``.

    Args:
        name: The agent's; its ``id`` is the same.
        *replies: One per call, the last one for all further calls: a Reply, its ``content`` alone, or an exception.
        streams: Yield typed events and chunks, then the output (True), or only return the output.
        sync: Offer ``run`` and ``continue_run`` instead of ``arun`` and ``acontinue_run``.

    ``calls`` has the keyword arguments of every call, in order; metrics count the words of input and output as tokens.
    """

    prefix = ""
    arun: Callable[..., Any] | None = None
    acontinue_run: Callable[..., Any] | None = None
    run: Callable[..., Any] | None = None
    continue_run: Callable[..., Any] | None = None

    def __init__(self, name: str = "agent", *replies: Any, streams: bool = True, sync: bool = False) -> None:
        self.name = name
        self.id = name
        self.replies = [_as_reply(reply) for reply in replies or ("",)]
        self.calls: list[dict[str, Any]] = []
        self.continued: list[dict[str, Any]] = []
        if sync:
            self.run, self.continue_run = _verbs(self, _sync_stream if streams else _sync_result)
        else:
            self.arun, self.acontinue_run = _verbs(self, _stream if streams else _result)

    @property
    def message(self) -> Any:
        """The input of the last call."""
        return self.calls[-1]["input"]

    def _play(self, reply: Reply, number: int, given: dict[str, Any]) -> Iterator[Any]:
        """The events of one call, in order, and at the end the output object."""
        run_id = given.get("run_id") or f"{self.name}-{len(self.calls)}"
        spoken = _chunks(reply.content)

        def event(name: str, **fields: Any) -> ExecutorEvent:
            return EXECUTOR_EVENTS[self.prefix + name](
                executor_run_id=run_id, executor_id=self.id, executor_name=self.name, **fields
            )

        yield event("RunStarted")
        for tool in reply.tools:
            yield event("ToolCallStarted", tool={"tool_name": tool})
            yield event("ToolCallCompleted", tool={"tool_name": tool, "result": f"result of {tool}"})
        for chunk in spoken:
            yield event("RunContent", content=chunk, content_type="str")
        if reply.error is not None:
            yield event("RunError", content=str(reply.error), error=str(reply.error))
            raise reply.error
        content = "".join(spoken) if spoken else reply.content
        heard = str(given.get("input") or "")
        metrics = reply.metrics or RunMetrics(
            input_tokens=len(heard.split()),
            output_tokens=len(str(content).split()),
            total_tokens=len(heard.split()) + len(str(content).split()),
        )
        paused = bool(reply.asks)
        yield event("RunPaused") if paused else event("RunCompleted", content=content, metrics=metrics)
        yield ScriptedOutput(
            content=content,
            run_id=run_id,
            session_id=given.get("session_id"),
            status=RunStatus.paused if paused else RunStatus.completed,
            metrics=metrics,
            images=reply.images,
            videos=reply.videos,
            audio=reply.audio,
            files=reply.files,
            messages=[{"role": "user", "content": heard}, {"role": "assistant", "content": str(content)}],
            requirements=[dict(item) for item in reply.asks] if paused else None,
            reply=number,
        )

    def _first(self, given: dict[str, Any]) -> Iterator[Any]:
        number = min(len(self.calls), len(self.replies) - 1)
        self.calls.append(given)
        return self._play(self.replies[number], number, given)

    def _again(self, given: dict[str, Any]) -> Iterator[Any]:
        self.continued.append(given)
        paused = given["run_response"]
        number = int(paused["reply"] if isinstance(paused, dict) else paused.reply)
        then = self.replies[number].then
        if callable(then):
            then = then(given["requirements"])
        return self._play(_as_reply(then), number, given)


class ScriptedTeam(ScriptedAgent):
    """The same as a team: its events have ``Team`` before their names."""

    prefix = "Team"

    def __init__(
        self, name: str = "team", *replies: Any, members: Sequence[Any] = (), streams: bool = True, sync: bool = False
    ) -> None:
        super().__init__(name, *replies, streams=streams, sync=sync)
        self.members = list(members)


def _as_reply(given: Any) -> Reply:
    if isinstance(given, Reply):
        return given
    return Reply(error=given) if isinstance(given, Exception) else Reply(content=given)


def _chunks(content: Any) -> list[str]:
    if isinstance(content, str):
        words = content.split(" ")
        return [word if i == 0 else f" {word}" for i, word in enumerate(words)] if content else []
    if isinstance(content, (list, tuple)) and content and all(isinstance(item, str) for item in content):
        return list(content)
    return []


# -- how it is called: each way plays the same script ------------------------------------------------------------------


def _verbs(agent: ScriptedAgent, play: Callable[[Iterator[Any]], Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def run(input: Any = None, **given: Any) -> Any:
        return play(agent._first({"input": input, **given}))

    def continue_run(run_response: Any = None, **given: Any) -> Any:
        return play(agent._again({"run_response": run_response, **given}))

    return run, continue_run


async def _stream(script: Iterator[Any]) -> AsyncIterator[Any]:
    for item in script:
        await anyio.lowlevel.checkpoint()
        yield item


def _result(script: Iterator[Any]) -> Awaitable[Any]:
    async def last() -> Any:
        await anyio.lowlevel.checkpoint()
        return _sync_result(script)

    return last()


def _sync_stream(script: Iterator[Any]) -> Iterator[Any]:
    yield from script


def _sync_result(script: Iterator[Any]) -> Any:
    found = None
    for item in script:
        found = item
    return found
