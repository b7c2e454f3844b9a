"""Agents and teams as executors of a step. The protocol is in ``workflow_runtime.executors``."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.from_thread
import anyio.to_thread

from ..executors import ExecutorRun
from ..model.events import CustomEvent, WorkflowEvent
from ..model.executor_events import executor_event
from ..model.metrics import RunMetrics
from ..model.step_io import StepInput, StepOutput
from ..model.text import as_text, builtins
from .context import RunContext
from .executor_pause import apply_answers, is_paused, open_requirement, resolved, storable
from .failures import in_thread
from .invoke import Chunks, closed
from .said import Said, place_of_round

if TYPE_CHECKING:
    from .frame import Frame

__all__ = ["run_executor"]


async def run_executor(frame: Frame, node: Any, path: str, step_input: StepInput, attempt: int) -> StepOutput:
    """Run the agent or team of ``node`` once. It is streamed whenever it can be: who reads is not its business. (D1)"""
    executor = node.declared.active_executor
    paused = _paused_before(frame, path)
    # Continued, it goes on behind what it had said and asked: that is another walk than the one before.
    place = path if paused is None else place_of_round(path, paused["round"])
    said = Said(place, frame.run.journal, noting=False)
    counts = dict(paused.get("counts", {})) if paused is not None else {}
    context = RunContext(frame, node, path, attempt, said, counts)
    chunks = _ExecutorChunks(frame, node, path, attempt, said)
    if paused is not None:
        answered = resolved(frame, node, path, paused["round"])
        if isinstance(answered, StepOutput):
            return answered
        verb, is_async = _verb(executor, "acontinue_run", "continue_run")
        arguments = _continue_arguments(paused["output"], answered, verb, context)
    else:
        verb, is_async = _verb(executor, "arun", "run")
        arguments = _arguments(frame, node, step_input, verb, context)
    if is_async:
        found = verb(**arguments)
        if inspect.isawaitable(found):
            found = await found
        if hasattr(found, "__aiter__"):
            try:
                async for chunk in found:
                    if frame.run.pausing:
                        await frame.run.going_on()
                    if chunks.take(chunk):
                        break
                    await frame.settle()
            except BaseException as error:
                chunks.keep_partial(error)
                raise
            finally:
                if hasattr(found, "aclose"):  # nothing is read after the output object
                    await closed(frame.run.id, path, found)
            found = chunks.output
    else:
        found = await anyio.to_thread.run_sync(in_thread(path, partial(_run_sync, verb, arguments, chunks)))
    if is_paused(found):
        number = paused["round"] + 1 if paused is not None else 0
        paused = {"round": number, "output": storable(found), "counts": counts}
        frame.enter(node, path, paused, attempt)
        open_requirement(frame, node, path, found, number)
    return _as_step_output(frame, node, path, found, chunks)


def _verb(executor: Any, async_name: str, sync_name: str) -> tuple[Any, bool]:
    verb = getattr(executor, async_name, None)
    if callable(verb):
        return verb, True
    verb = getattr(executor, sync_name, None)
    if not callable(verb):
        raise TypeError(f"{type(executor).__name__} has neither {async_name}() nor {sync_name}()")
    return verb, False


def _paused_before(frame: Frame, path: str) -> dict[str, Any] | None:
    """What was recorded when the executor stopped to ask; None where it did not."""
    record = frame.recorded(path)
    decision = record.decision if record is not None else None
    return decision if isinstance(decision, dict) and "round" in decision else None


def _continue_arguments(output: Any, answered: list[dict[str, Any]], verb: Any, context: RunContext) -> dict[str, Any]:
    output = apply_answers(output, answered)
    own = getattr(output, "requirements", None)
    given = {
        "run_response": output,
        "requirements": own if own and not isinstance(own[0], dict) else answered,
        "stream": True,
        "stream_events": True,
        "yield_run_output": True,
    }
    parameters = inspect.signature(verb).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return given
    given["run_context"] = context
    return {name: value for name, value in given.items() if name in parameters}


def _run_sync(verb: Any, arguments: dict[str, Any], chunks: _ExecutorChunks) -> Any:
    found = verb(**arguments)
    if not (inspect.isgenerator(found) or (hasattr(found, "__next__") and hasattr(found, "__iter__"))):
        return found
    try:
        for chunk in found:
            if anyio.from_thread.run_sync(chunks.take, chunk):
                break
            anyio.from_thread.run(chunks.settle)
            anyio.from_thread.check_cancelled()
    finally:
        if inspect.isgenerator(found):
            found.close()
    return chunks.output


def _arguments(frame: Frame, node: Any, step_input: StepInput, verb: Any, context: RunContext) -> dict[str, Any]:
    """Of all that can be given, what the executor's signature takes."""
    request = frame.run.request
    message = node.message(step_input)
    wanted = node.declared.add_workflow_history
    if wanted if wanted is not None else frame.definition.history:
        history = step_input.get_workflow_history_context()
        if history:
            message = f"{history}\n\n{as_text(message) or ''}"
    given: dict[str, Any] = {
        "input": message,
        "images": step_input.images,
        "videos": step_input.videos,
        "audio": step_input.audio,
        "files": step_input.files,
        "session_id": request.session_id,
        "user_id": request.user_id,
        "session_state": frame.state,
        "run_context": context,
        "run_id": context.idempotency_key,
        "stream": True,
        "stream_events": True,
        "yield_run_output": True,
    }
    parameters = inspect.signature(verb).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return given
    if "input" not in parameters:
        positional = [
            name
            for name, parameter in parameters.items()
            if parameter.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        ]
        if not positional:
            raise TypeError(
                f"{node.executor_name}: its {verb.__name__}() takes no input; see workflow_runtime.executors"
            )
        given[positional[0]] = given.pop("input")
    return {name: value for name, value in given.items() if name in parameters}


class _ExecutorChunks(Chunks):
    """What an executor streams: its events, and at the end its output object."""

    __slots__ = ("output",)

    def __init__(self, frame: Frame, node: Any, path: str, attempt: int, said: Said) -> None:
        super().__init__(frame, node, path, attempt, said)
        self.output: Any = None

    def take(self, chunk: Any) -> bool:
        """True when ``chunk`` is the output object, after which nothing follows."""
        named = isinstance(chunk, (WorkflowEvent, CustomEvent, str, dict)) or isinstance(
            getattr(chunk, "event", None), str
        )
        if not named and hasattr(chunk, "content"):
            self.output = chunk
            return True
        if not isinstance(chunk, (WorkflowEvent, CustomEvent, str)):
            chunk = executor_event(
                chunk, executor_type=self._node.executor_type, executor_name=self._node.executor_name
            )
        self.add(chunk)
        return False

    async def settle(self) -> None:
        await self._frame.settle()


def _as_step_output(frame: Frame, node: Any, path: str, found: Any, chunks: _ExecutorChunks) -> StepOutput:
    if found is None:
        found = chunks.value()
    if isinstance(found, StepOutput):
        output = node.output(found.content)
        output.success, output.error, output.stop, output.metrics = (
            found.success,
            found.error,
            found.stop,
            found.metrics,
        )
        return output  # type: ignore[no-any-return]  # node is a StepNode
    if not hasattr(found, "content"):
        return node.output(found)  # type: ignore[no-any-return]  # node is a StepNode
    output = node.output(found.content)
    output.step_run_id = getattr(found, "run_id", None)
    output.images, output.videos = _media(found, "images"), _media(found, "videos")
    output.audio, output.files = _media(found, "audio"), _media(found, "files")
    output.metrics = RunMetrics.of(getattr(found, "metrics", None))
    status = str(getattr(getattr(found, "status", None), "value", getattr(found, "status", "")) or "").upper()
    if status in ("ERROR", "CANCELLED"):
        output.success, output.error = False, str(found.content)
    if frame.definition.store_executor_outputs:
        runs = frame.run.output.step_executor_runs
        run = ExecutorRun(
            run_id=output.step_run_id,
            parent_run_id=frame.run.id,
            workflow_step_id=node.step_id or path,
            step_name=node.name,
            executor_type=node.executor_type,
            executor_name=node.executor_name,
            content=found.content,
            status=status or "COMPLETED",
            metrics=output.metrics,
            messages=builtins(getattr(found, "messages", None)),
        )
        frame.run.output.step_executor_runs = [*(runs or ()), run]
    return output  # type: ignore[no-any-return]  # node is a StepNode


def _media(found: Any, name: str) -> list[Any] | None:
    """The executor's media, if they are ours; another library's are left to its adapter."""
    from ..model.media import Media

    items = getattr(found, name, None)
    own = [item for item in items or () if isinstance(item, Media)]
    return own or None
