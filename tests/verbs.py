"""One behaviour, run in every mode: as arun, arun-stream, background, run and run-stream; and what "the same" means."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import msgspec

from workflow_runtime import (
    BaseDb,
    RunStatus,
    StepContentEvent,
    Workflow,
    WorkflowRunOutput,
)

MODES = ("arun", "arun-stream", "background", "run", "run-stream")

# What differs between two runs of the same workflow on purpose: who it was, when, and how long it took.
_VOLATILE = {
    "run_id",
    "session_id",
    "executor_session_id",
    "created_at",
    "updated_at",
    "metrics",
    "run_output",
    "parent_run_id",
    "duration",
    "seconds",
}


@dataclass
class Ran:
    """What became of one run. ``events``: all that were published, as streamed if the mode streams, else as stored."""

    mode: str
    output: WorkflowRunOutput  # as the database has it
    events: list[Any]
    returned: WorkflowRunOutput | None = None
    error: BaseException | None = None
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> RunStatus:
        return self.output.status

    @property
    def content(self) -> Any:
        return self.output.content

    @property
    def names(self) -> list[str]:
        return names(self.events)


def names(events: Iterable[Any]) -> list[str]:
    """The names of events, in order."""
    return [event.event for event in events]


async def listen(stream: AsyncIterable[Any]) -> tuple[list[Any], Exception | None]:
    """All events of a stream, and the error that ended it."""
    events: list[Any] = []
    try:
        async for event in stream:
            events.append(event)
    except Exception as error:
        return events, error
    return events, None


def of_kind(events: Iterable[Any], *kinds: str) -> list[Any]:
    """The events with one of these names."""
    return [event for event in events if event.event in kinds]


def expanded(events: Iterable[Any]) -> list[Any]:
    """Text that was merged on its way to the disk, as the chunks that were published."""
    found: list[Any] = []
    for event in events:
        if isinstance(event, StepContentEvent) and event.lengths:
            start = 0
            for position, length in enumerate(event.lengths):
                found.append(
                    msgspec.structs.replace(
                        event,
                        seq=event.seqs[position] if event.seqs else event.seq + position,
                        delta=event.delta[start : start + length],
                        lengths=None,
                        last_seq=None,
                        seqs=None,
                    )
                )
                start += length
        else:
            found.append(event)
    return found


def plain(thing: Any, run_id: str | None = None) -> Any:
    """``thing`` as JSON without what differs from run to run; ids that contain the run's have RUN in its place."""
    text = json.dumps(thing.to_dict() if hasattr(thing, "to_dict") else thing, sort_keys=True, default=str)
    return _without(json.loads(text), run_id)


def _without(value: Any, run_id: str | None) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, run_id) for key, item in value.items() if key not in _VOLATILE}
    if isinstance(value, list):
        return [_without(item, run_id) for item in value]
    return value.replace(run_id, "RUN") if run_id and isinstance(value, str) else value


def same_events(events: Iterable[Any], run_id: str | None, *, ordered: bool = True) -> Any:
    """Events as something to compare: in order with their numbers, or per path where branches may interleave."""
    found = [plain(event, run_id) for event in expanded(events)]
    if ordered:
        return found
    paths: dict[str, list[Any]] = {}
    for event in found:
        for name in ("seq", "step_executor_runs"):  # agents of branches are listed as they end
            event.pop(name, None)
        paths.setdefault(event.get("path", ""), []).append(event)
    return paths


def same_output(output: WorkflowRunOutput, *, ordered: bool = True) -> Any:
    """An output as something to compare, without its events."""
    found = plain({key: value for key, value in output.to_dict().items() if key != "events"}, output.run_id)
    if not ordered:
        found.pop("step_executor_runs", None)
    return found


class Verb:
    """``verb(make, input)`` runs the workflow that ``make(db)`` gives, each time a new one, in every mode. All runs
    must publish and store the same events and the same output, and raise the same; the first of them is returned.

    ``ordered=False`` where branches interleave by chance: then events are compared path by path.
    """

    def __init__(self, database: Callable[[], BaseDb], backend: str, options: dict[str, Any]) -> None:
        self.database = database
        self.backend = backend
        self.options = options

    def each(
        self, make: Callable[[BaseDb], Workflow], input: Any = None, *, modes: Iterable[str] = MODES, **options: Any
    ) -> list[Ran]:
        """The run in each of ``modes``, not compared."""
        return [self.one(mode, make(self.database()), input, **options) for mode in modes]

    def one(self, mode: str, workflow: Workflow, input: Any = None, **options: Any) -> Ran:
        """One run of ``workflow``, which must store its events."""
        if mode in ("run", "run-stream"):
            ran = _run_sync(mode, workflow, input, options)
        else:
            ran = self.on_a_loop(partial(run_async, mode, workflow, input, options))
        check_log(ran)
        return ran

    def on_a_loop(self, work: Callable[[], Any]) -> Any:
        return anyio.run(work, backend=self.backend, backend_options=self.options)

    def __call__(
        self,
        make: Callable[[BaseDb], Workflow],
        input: Any = None,
        *,
        ordered: bool = True,
        raises: type[BaseException] | None = None,
        **options: Any,
    ) -> Ran:
        runs = self.each(make, input, **options)
        compare(runs, ordered=ordered)
        first = runs[0]
        if raises is None and first.error is not None:
            raise first.error
        if raises is not None:
            assert isinstance(first.error, raises), f"{first.error!r} is no {raises.__name__}"
        return first


def compare(runs: list[Ran], *, ordered: bool = True) -> None:
    """All runs are the same but for ids and times."""
    first = runs[0]
    for ran in runs[1:]:
        where = f"{first.mode} and {ran.mode}"
        if ran.mode != "background":  # nobody waits for it, so nobody is told; its output says it
            assert (type(ran.error), str(ran.error)) == (type(first.error), str(first.error)), where
        assert same_output(ran.output, ordered=ordered) == same_output(first.output, ordered=ordered), where
        assert same_events(ran.events, ran.output.run_id, ordered=ordered) == same_events(
            first.events, first.output.run_id, ordered=ordered
        ), where
        assert ran.state == first.state, where


def check_log(ran: Ran) -> None:
    """Numbers without a gap, one terminal event at the end, and stored what was seen live."""
    live, stored = expanded(ran.events), expanded(ran.output.events or ())
    assert [event.seq for event in live] == list(range(1, len(live) + 1)), ran.mode
    terminal = {"WorkflowCompleted", "WorkflowPaused", "WorkflowCancelled", "WorkflowError"}
    ends = [event.event for event in live if event.nested_depth == 0 and event.event in terminal]
    assert len(ends) == 1, (ran.mode, ends)
    assert live[-1].event == ends[0], ran.mode
    run_id = ran.output.run_id
    assert [plain(event, run_id) for event in live] == [plain(event, run_id) for event in stored], ran.mode
    if ran.returned is not None:
        assert same_output(ran.returned) == same_output(ran.output), ran.mode


async def run_async(mode: str, workflow: Workflow, input: Any, options: dict[str, Any]) -> Ran:
    """One run on the loop that runs this, in one of the three async modes."""
    returned: WorkflowRunOutput | None = None
    error: BaseException | None = None
    events: list[Any] | None = None
    run_id: str | None = None
    if mode == "arun":
        try:
            returned = await workflow.arun(input, stream=False, **options)
            run_id = returned.run_id
        except Exception as failure:
            error, run_id = failure, failed_run(failure)
    elif mode == "arun-stream":
        stream = workflow.arun(input, stream=True, stream_events=True, **options)
        events, run_id = [], stream.run_id
        try:
            async for event in stream:
                events.append(event)
            returned = await stream.result()
        except Exception as failure:
            error = failure
    else:
        pending = await workflow.arun(input, background=True, stream=False, **options)
        assert pending.status in (RunStatus.pending, RunStatus.running)
        run_id = pending.run_id
        # A pause does not end a subscription, so it is left at the first terminal event of any kind.
        events = []
        async for event in workflow.subscribe(str(run_id)):
            events.append(event)
            if event.nested_depth == 0 and event.event in (
                "WorkflowCompleted",
                "WorkflowPaused",
                "WorkflowCancelled",
                "WorkflowError",
            ):
                break
    output = await workflow.aget_run_output(str(run_id))
    assert output is not None, f"{mode}: the run is not stored"
    state = await workflow.aget_session_state(output.session_id)
    return Ran(mode, output, events if events is not None else list(output.events or ()), returned, error, state)


def failed_run(error: BaseException) -> str:
    """The id of the run that ``error`` ended: errors carry their run's output."""
    output = getattr(error, "run_output", None)
    assert isinstance(output, WorkflowRunOutput), f"{error!r} has no run_output"
    return str(output.run_id)


def _run_sync(mode: str, workflow: Workflow, input: Any, options: dict[str, Any]) -> Ran:
    returned: WorkflowRunOutput | None = None
    error: BaseException | None = None
    events: list[Any] | None = None
    if mode == "run":
        try:
            returned = workflow.run(input, stream=False, **options)
            run_id = str(returned.run_id)
        except Exception as failure:
            error, run_id = failure, failed_run(failure)
    else:
        stream = workflow.run(input, stream=True, stream_events=True, **options)
        events, run_id = [], stream.run_id
        try:
            for event in stream:
                events.append(event)
            returned = stream.result()
        except Exception as failure:
            error = failure
    output = workflow.get_run_output(run_id)
    assert output is not None, f"{mode}: the run is not stored"
    state = workflow.get_session_state(output.session_id)
    return Ran(mode, output, events if events is not None else list(output.events or ()), returned, error, state)
