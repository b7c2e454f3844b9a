"""The two APIs and the five modes behind one call, scripted executors, and small steps."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from textwrap import dedent
from typing import Any

import anyio

from workflow_runtime import StepInput, SyncRunStream, Workflow, WorkflowRunOutput

MODES = ("run", "run-stream", "arun", "arun-stream", "background")


class Api:
    """``api(wf).verb(...)``: the verb itself, or its a-twin on an event loop of its own for each call; a stream as the
    list of its events."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, workflow: Workflow) -> Any:
        return _Verbs(self.kind, workflow)

    def __repr__(self) -> str:
        return self.kind


class _Verbs:
    def __init__(self, kind: str, workflow: Workflow) -> None:
        self._kind = kind
        self._workflow = workflow

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if self._kind == "sync":
            verb = getattr(self._workflow, name)

            def listed(*args: Any, **kwargs: Any) -> Any:
                found = verb(*args, **kwargs)
                return list(found) if isinstance(found, SyncRunStream) else found

            return listed
        twin = getattr(self._workflow, f"a{name}")

        async def drained(*args: Any, **kwargs: Any) -> Any:
            found = twin(*args, **kwargs)
            return [event async for event in found] if hasattr(found, "__aiter__") else await found

        return lambda *args, **kwargs: anyio.run(partial(drained, *args, **kwargs))


class Launch:
    """One run, by the mode's name."""

    def __init__(self, mode: str) -> None:
        self.mode = mode

    def __call__(self, workflow: Workflow, input: Any = None, **options: Any) -> WorkflowRunOutput:
        run: Any = workflow.run
        output: WorkflowRunOutput
        if self.mode == "run":
            output = run(input, stream=False, **options)
        elif self.mode == "run-stream":
            output = run(input, stream=True, **options).result()
        else:
            output = anyio.run(partial(self._on_a_loop, workflow, input, options))
        return output

    async def _on_a_loop(self, workflow: Workflow, input: Any, options: dict[str, Any]) -> Any:
        arun: Any = workflow.arun
        if self.mode == "arun":
            return await arun(input, stream=False, **options)
        return await arun(input, stream=True, background=self.mode == "background", **options).result()

    def __repr__(self) -> str:
        return self.mode


class Agent:
    """An agent that streams ``chunks`` and remembers what it was given."""

    def __init__(self, name: str = "writer", chunks: tuple[str, ...] = ("Hello", " there"), **output: Any) -> None:
        self.name = name
        self.chunks = chunks
        self.output = output
        self.calls: list[dict[str, Any]] = []

    @property
    def message(self) -> Any:
        """The input of the last call."""
        return self.calls[-1]["input"]

    async def arun(self, input: Any, **options: Any) -> AsyncIterator[Any]:
        self.calls.append({"input": input, **options})
        yield {"event": "RunStarted"}
        for chunk in self.chunks:
            yield {"event": "RunContent", "content": chunk}
        yield {"event": "RunCompleted", "content": "".join(self.chunks)}
        yield AgentOutput("".join(self.chunks), **self.output)


class AgentOutput:
    """The output object of an agent."""

    def __init__(self, content: Any, **fields: Any) -> None:
        self.content = content
        self.run_id = "agent-run"
        for name, value in fields.items():
            setattr(self, name, value)


def echo(step_input: StepInput) -> str:
    """The input, said again."""
    return f"echo {step_input.get_input_as_string()}"


async def finished(workflow: Workflow, run_id: str | None) -> WorkflowRunOutput:
    """The output of a background run once it has ended."""
    async for _ in workflow.subscribe(str(run_id)):
        pass
    output = await workflow.aget_run(str(run_id))
    assert output is not None
    return output


def run_program(program: str) -> str:
    """What a program of its own prints: for what must happen in a fresh process, or may block an event loop."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(program)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def names(events: Any) -> list[str]:
    """The names of events, in order."""
    return [event.event for event in events]
