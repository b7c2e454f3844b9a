"""Agents and teams as executors of a step: the engine's side of ``executors.adapter``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.from_thread
import anyio.to_thread
import sniffio

from ...core.life import PAUSED
from ...executors import Adapter, Call, ExecutorError, ExecutorOutput, ExecutorRun
from ...executors.adapter import Once, Usage
from ...executors.current import CURRENT
from ...executors.message import answers_in, with_answers
from ...executors.objects import Returned, read
from ...model.enums import RunStatus
from ...model.errors import EngineError
from ...model.events import CustomEvent, WorkflowEvent
from ...model.executor_events import ExecutorEvent
from ...model.media import Media
from ...model.metrics import RunMetrics
from ...model.step_io import StepInput, StepOutput
from ...model.text import as_text
from ..bus.failures import in_thread
from ..bus.said import Said, place_of_round
from .agent_journal import AgentJournal, start_over
from .context import RunContext
from .executor_pause import open_requirement, resolved
from .invoke import Chunks, closed

if TYPE_CHECKING:
    from .frame import Frame

__all__ = ["run_executor"]


async def run_executor(frame: Frame, node: Any, path: str, step_input: StepInput, attempt: int) -> StepOutput:
    """Run the agent or team of ``node`` once. It is streamed whenever it can be: who reads is not its business. (D1)"""
    adapter: Adapter = node.adapter
    _check_loop(adapter, node)
    paused = _paused_before(frame, path)
    # Continued, it goes on behind what it had said and asked: that is another walk than the one before.
    place = path if paused is None else place_of_round(path, paused["round"])
    said = Said(place, frame.run.journal, noting=False)
    counts = dict(paused.get("counts", {})) if paused is not None else {}
    context = RunContext(frame, node, path, attempt, said, counts)
    number = 0 if paused is None else paused["round"] + 1
    use = _use(frame, node, path, attempt, number)
    journal = AgentJournal(frame, path, context, said, number, use) if _is_durable(frame, node) else None
    if journal is not None and paused is None:
        frame.enter(node, path, None, attempt)  # after a crash it is continued, not started again
    call = _call(frame, node, step_input, context, journal)
    if journal is None and use is not None and adapter.durable:
        call.once = _counted(use)
    if paused is not None:
        answered = resolved(frame, node, path, paused["round"])
        if isinstance(answered, StepOutput):
            return answered
        call.paused, call.answers = paused["output"], answered
        call.usage = RunMetrics.of(paused.get("usage"))
        if use is not None:
            use.before_pause(call.usage)
    chunks = _ExecutorChunks(frame, node, path, attempt, said, journal)
    state = frame.working() if frame.mixed else {}
    token = CURRENT.set(context)
    try:
        await _read(frame, path, adapter.run(call), chunks)
    except Exception as error:
        if journal is not None and journal.led_to(error):
            start_over(frame, path)
        raise
    finally:
        CURRENT.reset(token)
    output = chunks.output
    if output is not None and call.usage is not None and not adapter.counts_on:
        output.metrics = call.usage + (output.metrics or RunMetrics())
    if output is not None and output.is_paused:
        if use is not None and output.metrics is not None:
            output.metrics.additional_metrics = {**(output.metrics.additional_metrics or {}), "requests": use.requests}
        usage = output.metrics.to_dict() if output.metrics is not None else None
        paused = {"round": number, "output": output.paused, "counts": counts, "usage": usage}
        _keep_state(frame, path, number, state)
        frame.enter(node, path, paused, attempt)
        open_requirement(frame, node, path, output, number)
    return _as_step_output(frame, node, path, chunks)


def _use(frame: Frame, node: Any, path: str, attempt: int, number: int) -> Any:
    """What counts the agent's requests; None where no budget limits them."""
    from .budgets import AgentUse, is_limited

    return AgentUse(frame, node, path, attempt, number) if is_limited(frame, node) else None


def _counted(use: Any) -> Once:
    """``once`` for an agent that is in a budget, and of which nothing is recorded."""

    async def once(key: str, function: Callable[[], Any], *, usage: Usage | None = None) -> Any:
        async def make() -> Any:
            found = function()
            return await found if inspect.isawaitable(found) else found

        return await make() if usage is None else await use.request(key, False, make, usage)

    return once


def _keep_state(frame: Frame, path: str, number: int, before: Mapping[str, Any]) -> None:
    """What the agent has changed of the session state before its pause is part of the run: it is not done again."""
    changed = {key: now for key, now in frame.working().items() if key not in before or before[key] != now}
    if changed:
        frame.remember(f"{path}!state:{number}", True, changed=changed)
        frame.take_over(changed, path)


def _check_loop(adapter: Adapter, node: Any) -> None:
    loop = sniffio.current_async_library()
    if loop not in adapter.event_loops:
        raise EngineError(
            f"Step {node.name!r}: agents of {adapter.library} need {' or '.join(adapter.event_loops)}, and this run is on"
            f" {loop}; run the workflow with asyncio.run()"
        )


def _is_durable(frame: Frame, node: Any) -> bool:
    recorder = frame.run.recorder
    return node.is_durable_inside and recorder is not None and recorder.durability != "exit"


def _paused_before(frame: Frame, path: str) -> dict[str, Any] | None:
    """What was recorded when the executor stopped to ask; None where it did not."""
    record = frame.recorded(path)
    decision = record.decision if record is not None else None
    return decision if isinstance(decision, dict) and "round" in decision else None


def _call(frame: Frame, node: Any, step_input: StepInput, context: RunContext, journal: AgentJournal | None) -> Call:
    request = frame.run.request
    message = node.message(step_input)
    wanted = node.declared.add_workflow_history
    if wanted if wanted is not None else frame.definition.history:
        history = step_input.get_workflow_history_context()
        if history:
            message = f"{history}\n\n{as_text(message) or ''}"
    answers = answers_in(step_input.additional_data, request.input.additional_data)
    message = with_answers(message, answers)
    call = Call(
        agent=node.declared.active_executor,
        message=message,
        images=step_input.images,
        videos=step_input.videos,
        audio=step_input.audio,
        files=step_input.files,
        run_id=context.idempotency_key,
        session_id=request.session_id,
        user_id=request.user_id,
        step_name=node.name,
        executor_name=node.executor_name,
        executor_type=node.executor_type,
        session_state=frame.state,
        dependencies=context.dependencies,
        metadata=context.metadata,
        additional_data=step_input.additional_data,
        given_answers=answers,
        run_context=context,
        options=dict(node.declared.executor_options or {}),
    )
    if journal is not None:
        call.once, call.recorded, call.part = journal.once, journal.recorded, journal.part
    return call


# -- reading what it yields ------------------------------------------------------------------------------------------


async def _read(frame: Frame, path: str, items: Any, chunks: _ExecutorChunks) -> None:
    """Publish what the agent yields, to its own end: closed before that, some libraries take a run for cancelled."""
    if inspect.isgenerator(items):
        returned = await anyio.to_thread.run_sync(in_thread(path, partial(_read_in_thread, items, chunks)))
        if returned:  # a synchronous method gave something to be awaited
            await _read(frame, path, read(returned[0]), chunks)
        return
    run = frame.run
    bus, scope = run.bus, run.scope
    try:
        async for item in items:
            if run.life in PAUSED:
                await run.going_on()
            chunks.take(item)
            if bus.behind or scope.cancel_called:
                await frame.settle()
    except BaseException as error:
        chunks.keep_partial(error)
        raise
    finally:
        if hasattr(items, "aclose"):
            await closed(run.id, path, items)
    chunks.ended()


def _read_in_thread(items: Generator[Any, Any, Any], chunks: _ExecutorChunks) -> tuple[Any, ...]:
    """Empty, or what is to be awaited: in a tuple, since trio takes a coroutine that comes out of a thread for a mistake."""
    try:
        for item in items:
            if isinstance(item, Returned) and (inspect.isawaitable(item.value) or hasattr(item.value, "__aiter__")):
                return (item.value,)
            anyio.from_thread.run_sync(chunks.take, item)
            anyio.from_thread.run(chunks.settle)
            anyio.from_thread.check_cancelled()
    finally:
        items.close()
    anyio.from_thread.run_sync(chunks.ended)
    return ()


class _ExecutorChunks(Chunks):
    """What an executor streams: its events, and at the end its output."""

    __slots__ = ("_error", "_journal", "output", "returned")

    def __init__(
        self, frame: Frame, node: Any, path: str, attempt: int, said: Said, journal: AgentJournal | None
    ) -> None:
        super().__init__(frame, node, path, attempt, said if journal is None else None)
        self._journal = journal
        self._error: str | None = None
        self.output: ExecutorOutput | None = None
        self.returned: Any = None

    def take(self, item: Any) -> None:
        """Publish an event or a chunk, or keep the output."""
        if isinstance(item, ExecutorOutput):
            self.output = item
            return
        if isinstance(item, Returned):
            self.returned = item.value
            return
        if not isinstance(item, (WorkflowEvent, CustomEvent, str)):
            kind, name = self._node.executor_type, self._node.executor_name
            item = self._typed(item, executor_type=kind, executor_name=name) or item
        if isinstance(item, ExecutorEvent):
            if item.event == ("TeamRunError" if self._node.executor_type == "team" else "RunError"):
                self._error = item.error or as_text(item.content) or "it reported an error"
            if self._journal is not None and not self._journal.is_new(item):
                return
        self.add(item)

    def ended(self) -> None:
        """The agent has yielded all.

        Raises:
            ExecutorError: It reported an error, and has no output.
        """
        if self._error is not None and self.output is None and self.returned is None:
            raise ExecutorError(f"{self._node.executor_name}: {self._error}")

    async def settle(self) -> None:
        await self._frame.settle()


# -- the step's output -------------------------------------------------------------------------------------------------


def _as_step_output(frame: Frame, node: Any, path: str, chunks: _ExecutorChunks) -> StepOutput:
    found = chunks.output
    if found is None:
        return _of_value(node, chunks.value() if chunks.returned is None else chunks.returned)
    output: StepOutput = node.output(found.content)
    output.step_run_id = found.run_id
    output.images, output.videos = _media(found.images), _media(found.videos)
    output.audio, output.files = _media(found.audio), _media(found.files)
    output.metrics = found.metrics
    if found.status in (RunStatus.error, RunStatus.cancelled):
        output.success, output.error = False, str(found.content)
    if frame.definition.store_executor_outputs:
        run = ExecutorRun(
            run_id=output.step_run_id,
            parent_run_id=frame.run.id,
            workflow_step_id=node.step_id or path,
            step_name=node.name,
            executor_type=node.executor_type,
            executor_name=node.executor_name,
            content=found.content,
            status=found.status.value,
            metrics=output.metrics,
            messages=found.messages,
        )
        frame.run.output.step_executor_runs = [*(frame.run.output.step_executor_runs or ()), run]
    return output


def _of_value(node: Any, value: Any) -> StepOutput:
    if not isinstance(value, StepOutput):
        return node.output(value)  # type: ignore[no-any-return]  # node is a StepNode
    output: StepOutput = node.output(value.content)
    output.success, output.error, output.stop, output.metrics = value.success, value.error, value.stop, value.metrics
    return output


def _media(items: list[Any] | None) -> list[Any] | None:
    """The executor's media, if they are ours; another library's are left to its adapter."""
    return [item for item in items or () if isinstance(item, Media)] or None
