"""Running a step's executor once: functions of every kind, agents and teams, nested workflows."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncGenerator, Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import msgspec

from ...core.binding import ASYNC_GENERATOR, COROUTINE, GENERATOR, Binding
from ...core.life import PAUSED
from ...core.plan import Node
from ...model.executor_events import ExecutorEvent, executor_event
from ...model.step_io import StepInput, StepOutput
from ..bus.bus import is_foreign, stamp
from ..bus.failures import in_thread, surfaced
from ..bus.said import Said
from ..loop.cleanup import CLEANUP_SECONDS, CleanedUp
from ..loop.step_frames import DRIVERS, STEPS
from .context import RunContext

if TYPE_CHECKING:
    from .execution import Execution
    from .frame import Frame

__all__ = ["Chunks", "call_condition", "closed", "invoke", "run_callable"]

logger = logging.getLogger("workflow_runtime")

_END = object()


async def invoke(frame: Frame, node: Any, path: str, step_input: StepInput, attempt: int) -> StepOutput:
    """One attempt at a step node; the output carries the step's name whatever the executor returned.

    Raises:
        Exited: It raised something that is no ordinary exception.
        RuntimeError: What the step awaited was cancelled by somebody else. The step failed; nobody cancelled the run.
    """
    try:
        binding: Binding | None = node.binding
        if node.retry is not None or node.timeout is not None or attempt > 1:
            frame.run.attempts[path] = attempt
        if attempt == 1 and (node.retry is not None or node.on_error == "pause"):
            frame.keep_state(path)
        limit = node.retry.timeout if node.retry is not None else None
        if node.declared.idle_timeout is not None:
            from ..loop.idle import unless_idle

            work = _invoke(frame, node, path, step_input, attempt, binding)
            return await unless_idle(frame.run, node.declared.idle_timeout, limit, path, work, attempt)
        if limit is not None:
            from ..loop.limits import limited

            work = _invoke(frame, node, path, step_input, attempt, binding)
            message = f"{path}: attempt {attempt} took longer than {limit:g} s"
            found: StepOutput = await limited(frame.run, limit, path, work, message, attempt=True)
            return found
        if binding is not None and binding.kind == COROUTINE and binding.only_input and binding.first == "step_input":
            # The common case without a detour: an async function of the step input.
            result = await CleanedUp(binding.function(step_input), frame.run.id, path)
            if type(result) is StepOutput or inspect.isasyncgen(result) or inspect.isgenerator(result):
                output = await _finish(frame, node, path, result, attempt, None)
            else:
                output = StepOutput(result, node.name, node.step_id, "Step", "function", node.executor_name)
        else:
            output = await _invoke(frame, node, path, step_input, attempt, binding)
        if frame.run.steering.acting or (frame.run.life in PAUSED and frame.run.made_parking is not None):
            await _may_count(frame.run)
        return output
    except BaseException as error:
        failure = surfaced(error, path)
        if frame.run.life in PAUSED and frame.run.made_parking is not None and isinstance(failure or error, Exception):
            await frame.run.going_on()
        if failure is None:
            raise
        raise failure from error
    finally:
        if frame.run.made_parking is not None:
            frame.run.made_parking.leave(path)


async def _may_count(run: Execution) -> None:
    """Wait while the run is paused. What a step gave after an order has ended it comes too late to count."""
    if run.made_parking is not None:
        await run.going_on()
    await anyio.lowlevel.checkpoint_if_cancelled()


async def _invoke(
    frame: Frame, node: Any, path: str, step_input: StepInput, attempt: int, binding: Binding | None
) -> StepOutput:
    if binding is not None:
        told = "run_context" in (binding.first, *binding.names)
        said = Said(path, frame.run.journal, noting=False) if told else None
        supplied = _supplied(frame, node, path, step_input, attempt, binding, said)
        return await run_callable(frame, node, path, binding, supplied, attempt, said, offload=node.declared.offload)
    if node.inner is not None or node.executor_type == "workflow":
        from .walk import run_nested

        return await run_nested(frame, node, path, step_input)
    from .executor import run_executor

    output: StepOutput = await CleanedUp(run_executor(frame, node, path, step_input, attempt), frame.run.id, path)
    return output


def _supplied(
    frame: Frame,
    node: Node,
    path: str,
    step_input: StepInput,
    attempt: int,
    binding: Binding,
    said: Said | None = None,
) -> dict[str, Any]:
    """The values of the parameters that the callable asks for, and no others."""
    supplied: dict[str, Any] = {}
    for name in (binding.first, *binding.names):
        if name == "step_input":
            supplied[name] = step_input
        elif name == "run_context":
            supplied[name] = RunContext(frame, node, path, attempt, said)
        elif name == "session_state":
            supplied[name] = frame.state
        elif name == "workflow":
            supplied[name] = frame.definition.workflow
        elif name == "additional_data":
            supplied[name] = step_input.additional_data
        elif name == "dependencies":
            supplied[name] = frame.run.dependencies
    return supplied


async def call_condition(
    frame: Frame, binding: Binding, node: Node, path: str, step_input: StepInput, supplied: dict[str, Any]
) -> Any:
    """Call a condition, selector or end condition: on the loop, since it is a few lines; awaited if it is async."""
    values = {**_supplied(frame, node, path, step_input, 1, binding), **supplied}
    args = (values[binding.first],) if binding.first is not None else ()
    try:
        found = binding.function(*args, **{name: values[name] for name in binding.names})
        return await CleanedUp(found, frame.run.id, path) if inspect.isawaitable(found) else found
    except BaseException as error:
        failure = surfaced(error, path, "function")
        if failure is None:
            raise
        raise failure from error


async def run_callable(
    frame: Frame,
    node: Any,
    path: str,
    binding: Binding,
    supplied: dict[str, Any],
    attempt: int,
    said: Said | None,
    *,
    offload: bool,
) -> StepOutput:
    """Call a function of any kind with what it asked for. ``said`` is that of its run_context, if it asked for one."""
    args = (supplied[binding.first],) if binding.first is not None else ()
    kwargs = {name: supplied[name] for name in binding.names}
    if binding.kind == COROUTINE:
        found = await CleanedUp(binding.function(*args, **kwargs), frame.run.id, path)
    elif binding.kind in (ASYNC_GENERATOR, GENERATOR) or not offload:
        found = binding.function(*args, **kwargs)
    else:
        (found,) = await anyio.to_thread.run_sync(in_thread(path, partial(_boxed, binding.function, args, kwargs)))
        # A thread is waited for, also past a deadline or a cancel: what it returns then comes too late to count.
        await anyio.lowlevel.checkpoint_if_cancelled()
    return await _finish(frame, node, path, found, attempt, said, offload)


def _boxed(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any]:
    """The result in a tuple: trio takes a coroutine that comes out of a thread for a mistake."""
    return (function(*args, **kwargs),)


async def _finish(
    frame: Frame, node: Any, path: str, found: Any, attempt: int, said: Said | None, offload: bool = True
) -> StepOutput:
    """What the callable gave, generators drained and awaitables awaited, as an output of ``node``."""
    if inspect.isawaitable(found):
        found = await CleanedUp(found, frame.run.id, path)
    if inspect.isasyncgen(found):
        chunks = Chunks(frame, node, path, attempt, said)
        found = await CleanedUp(_drain_async(chunks, found), frame.run.id, path)
    elif inspect.isgenerator(found):
        chunks = Chunks(frame, node, path, attempt, said)
        found = await (_drain_thread(chunks, found) if offload else _drain_inline(chunks, found))
    return as_output(node, found)


def as_output(node: Any, found: Any) -> StepOutput:
    """A returned value as an output of ``node``; a StepOutput is copied, so a shared one is never changed."""
    executor = getattr(node, "executor_name", None)
    if isinstance(found, StepOutput):
        return msgspec.structs.replace(
            found,
            step_name=node.name,
            step_id=found.step_id or node.step_id,
            step_type=found.step_type or "Step",
            executor_type=found.executor_type or "function",
            executor_name=found.executor_name or executor,
        )
    return StepOutput(found, node.name, node.step_id, "Step", "function", executor)


class Chunks:
    """What a generator has yielded so far: published at once, kept for the output."""

    __slots__ = ("_attempt", "_frame", "_left_out", "_node", "_path", "_said", "final", "parts")

    def __init__(self, frame: Frame, node: Any, path: str, attempt: int, said: Said | None) -> None:
        self._frame, self._node, self._path, self._attempt = frame, node, path, attempt
        self._said = said
        self.parts: list[Any] = []
        self.final: Any = _END
        self._left_out: set[str] | None = None  # fields of another library's events

    def add(self, chunk: Any) -> bool:
        """Take one chunk; True when it is a StepOutput, which ends the step."""
        if isinstance(chunk, StepOutput):
            self.final = chunk
            return True
        frame = self._frame
        if isinstance(chunk, (str, int, float, bytes, dict, list, tuple)) or chunk is None:
            if isinstance(chunk, dict) and isinstance(chunk.get("event"), str):
                return self._event(chunk)
            self._take(chunk)
            if self._said is None or not self._said.again():
                frame.content(self._node, self._path, chunk, self._attempt)
            return False
        return self._event(chunk)

    def _typed(self, chunk: Any, **whose: Any) -> Any:
        """``chunk`` as an event, None if it is none. Of another library's event, what cannot be stored is left out."""
        event = executor_event(chunk, **whose)
        if event is None or event is chunk or self._frame.run.recorder is None:
            return event
        from ...executors.storing import storable

        event, lost = storable(event)
        new = set(lost) - (self._left_out or set())
        if new:
            self._left_out = {*(self._left_out or ()), *new}
            logger.warning(
                "run %s: %s of the events of step %r cannot be stored and is left out",
                self._frame.run.id,
                ", ".join(sorted(new)),
                self._path,
                extra={"run_id": self._frame.run.id, "step_path": self._path},
            )
        return event

    def _event(self, chunk: Any) -> bool:
        event = self._typed(chunk)
        frame = self._frame
        if event is None:
            self._take(chunk)
            if self._said is None or not self._said.again():
                frame.content(self._node, self._path, chunk, self._attempt)
            return False
        if self._said is None or not self._said.again():
            frame.run.bus.publish(stamp(event, frame.stamps(self._node, self._path)))
        if is_foreign(event, frame.run.id):
            return False  # another run's, whose output has what came of it
        if isinstance(event, ExecutorEvent) and event.event in ("RunContent", "TeamRunContent"):
            self._take(event.content)
        return False

    def _take(self, part: Any) -> None:
        run = self._frame.run
        if run.streams is None:
            run.streams = {}
        run.streams[self._path] = self._attempt
        self.parts.append(part)

    def value(self, returned: Any = None) -> Any:
        """The step's content: a final StepOutput; the text joined when all is text; else the list of chunks."""
        if isinstance(returned, StepOutput):
            return returned
        if self.final is not _END:
            return self.final
        if returned is not None and not self.parts:
            return returned
        if self.parts and all(isinstance(part, str) for part in self.parts):
            return "".join(self.parts)
        return list(self.parts) if self.parts else None

    def keep_partial(self, error: BaseException) -> None:
        """If the step is being cancelled, what it had produced is kept, marked as not successful. Whether the run ends
        by it is not known yet: a container that goes on without the step forgets it (``Frame.leave``)."""
        if not isinstance(error, anyio.get_cancelled_exc_class()):
            return
        output = as_output(self._node, self.value())
        output.success, output.error = False, "Cancelled during execution"
        run = self._frame.run
        run.partials = {**(run.partials or {}), self._path: output}


async def _drain_async(chunks: Chunks, generator: AsyncGenerator[Any, Any]) -> Any:
    frame = chunks._frame
    bus, scope = frame.run.bus, frame.run.scope
    try:
        async for chunk in generator:
            if frame.run.life in PAUSED:
                await frame.run.going_on()
            if chunks.add(chunk):
                await generator.aclose()
                break
            if bus.behind or scope.cancel_called:
                await frame.settle()
    except BaseException as error:
        chunks.keep_partial(error)
        await closed(frame.run.id, chunks._path, generator)
        raise
    return chunks.value()


async def closed(run_id: str, path: str, generator: Any) -> None:
    """Let an async generator clean up here and now, not when the garbage collector comes, also if the run is cancelled;
    a clean-up that takes more than ``CLEANUP_SECONDS`` is cancelled, and reported."""
    with anyio.move_on_after(CLEANUP_SECONDS, shield=True) as limit:
        await generator.aclose()
    if limit.cancel_called:
        logger.warning(
            "run %s: the generator of step %r did not close within %g s; its clean-up was cancelled",
            run_id,
            path,
            CLEANUP_SECONDS,
            extra={"run_id": run_id, "step_path": path},
        )


async def _drain_inline(chunks: Chunks, generator: Generator[Any, Any, Any]) -> Any:
    try:
        while True:
            try:
                chunk = next(generator)
            except StopIteration as stop:
                return chunks.value(stop.value)
            if chunks._frame.run.life in PAUSED:
                await chunks._frame.run.going_on()
            if chunks.add(chunk):
                return chunks.value()
            await chunks._frame.settle()
    except BaseException as error:
        chunks.keep_partial(error)
        raise
    finally:
        generator.close()


async def _drain_thread(chunks: Chunks, generator: Generator[Any, Any, Any]) -> Any:
    """A synchronous generator runs in a worker thread; each chunk is published on the loop before the next is made."""

    async def take(chunk: Any) -> bool:
        if chunks._frame.run.life in PAUSED:
            await chunks._frame.run.going_on()
        done = chunks.add(chunk)
        await chunks._frame.settle()
        return done

    def work() -> Any:
        try:
            while True:
                try:
                    chunk = next(generator)
                except StopIteration as stop:
                    return chunks.value(stop.value)
                if anyio.from_thread.run(take, chunk):
                    return chunks.value()
                anyio.from_thread.check_cancelled()
        finally:
            generator.close()

    try:
        return await anyio.to_thread.run_sync(in_thread(chunks._path, work))
    except BaseException as error:
        chunks.keep_partial(error)
        raise


STEPS.update(function.__code__ for function in (invoke, _invoke, run_callable, call_condition))
DRIVERS[_drain_async.__code__] = "generator"
