"""Workflow(websocket_handler=...) and arun(websocket=...): one JSON frame per event, and a socket never hurts a run."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from workflow_runtime import (
    Event,
    InMemoryDb,
    Loop,
    RunStatus,
    Step,
    StepInput,
    WebSocketHandler,
    Workflow,
)
from workflow_runtime.engine.run.host import find_live

from .helpers import Launch, echo, names

pytestmark = pytest.mark.anyio


class Socket:
    """A socket that keeps its frames; ``last`` is set by the terminal one."""

    def __init__(self) -> None:
        self.frames: list[str] = []
        self.last = anyio.Event()

    async def send_text(self, data: str) -> None:
        await anyio.lowlevel.checkpoint()
        self.frames.append(data)
        if json.loads(data)["event"] in ("WorkflowCompleted", "WorkflowPaused", "WorkflowCancelled", "WorkflowError"):
            self.last.set()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(frame) for frame in self.frames]


class Dead(Socket):
    """A socket whose peer has gone after ``good`` frames."""

    def __init__(self, good: int = 0) -> None:
        super().__init__()
        self.good = good

    async def send_text(self, data: str) -> None:
        if len(self.frames) >= self.good:
            raise ConnectionResetError("the peer has gone")
        self.frames.append(data)


class Hanging(Socket):
    """A socket whose peer reads nothing."""

    async def send_text(self, data: str) -> None:
        self.frames.append(data)
        await anyio.sleep_forever()


def two_steps(**options: Any) -> Workflow:
    return Workflow(name="w", steps=[Step(name="a", executor=echo), Step(name="b", executor=echo)], **options)


async def quick(step_input: StepInput) -> str:
    return "x"


async def test_websocket_gets_one_json_frame_per_event_with_its_number() -> None:
    socket = Socket()
    workflow = two_steps(store_events=True, db=InMemoryDb())
    output = await workflow.arun("x", websocket=socket)
    frames = socket.events
    assert [frame["seq"] for frame in frames] == list(range(1, output.last_seq + 1))
    assert [frame["event"] for frame in frames] == names(output.events)
    assert {frame["run_id"] for frame in frames} == {output.run_id}
    assert frames[-1]["content"] == "echo x"
    assert all("\n" not in frame for frame in socket.frames)


async def test_websocket_has_all_frames_when_the_awaited_run_returns() -> None:
    socket = Socket()
    await Workflow(steps=[Loop(steps=[Step(name="s", executor=quick)], max_iterations=50)]).arun("x", websocket=socket)
    assert socket.events[-1]["event"] == "WorkflowCompleted"


@pytest.mark.parametrize("mode", ["stream", "background", "background and stream"])
async def test_websocket_is_served_in_every_mode(mode: str) -> None:
    socket = Socket()
    options: dict[str, Any] = {"stream": "stream" in mode, "background": "background" in mode}
    found: Any = two_steps(db=InMemoryDb()).arun("x", websocket=socket, **options)
    if mode == "stream":
        assert (await found.result()).status is RunStatus.completed
    else:
        assert (await found).status is RunStatus.pending
    with anyio.fail_after(60):
        await socket.last.wait()
    assert [frame["seq"] for frame in socket.events] == list(range(1, len(socket.frames) + 1))


async def test_websocket_handler_of_the_constructor_serves_every_run() -> None:
    socket = Socket()
    workflow = two_steps(websocket_handler=socket)
    first = await workflow.arun("x")
    second = await workflow.arun("y")
    assert {frame["run_id"] for frame in socket.events} == {first.run_id, second.run_id}


def test_websocket_handler_of_the_constructor_is_used_in_each_mode(launch: Launch) -> None:
    socket = Socket()
    output = launch(two_steps(websocket_handler=socket), "x")
    deadline = [frame for frame in socket.events if frame["run_id"] == output.run_id]
    assert [frame["seq"] for frame in deadline] == list(range(1, len(deadline) + 1))
    assert len(deadline) >= (output.last_seq if launch.mode in ("run", "arun") else 1)


async def test_websocket_of_the_call_stands_in_for_the_one_of_the_constructor() -> None:
    own, given = Socket(), Socket()
    await two_steps(websocket_handler=own).arun("x", websocket=given)
    assert own.frames == []
    assert given.events[-1]["event"] == "WorkflowCompleted"


async def test_websocket_may_be_a_handler_of_ones_own() -> None:
    class Upper(WebSocketHandler):
        async def handle_event(self, event: Event) -> None:
            await self.websocket.send_text(json.dumps({"event": event.event, "seq": -event.seq}))

    socket = Socket()
    await two_steps().arun("x", websocket=Upper(socket))
    assert socket.events[0] == {"event": "WorkflowStarted", "seq": -1}


async def test_websocket_gets_the_events_of_a_continued_run_behind_those_before() -> None:
    socket = Socket()
    step = Step(name="ask", executor=echo, requires_confirmation=True)
    workflow = Workflow(steps=[step], db=InMemoryDb())
    paused = await workflow.arun("x", websocket=socket)
    paused.active_step_requirements[0].confirm()
    await workflow.acontinue_run(paused, websocket=socket)
    assert [frame["seq"] for frame in socket.events] == list(range(1, len(socket.frames) + 1))
    assert [f["event"] for f in socket.events if f["event"].startswith("Workflow")] == [
        "WorkflowStarted",
        "WorkflowPaused",
        "WorkflowCompleted",
    ]


@pytest.mark.parametrize("good", [0, 3])
async def test_websocket_that_dies_does_not_hurt_the_run(good: int) -> None:
    socket = Dead(good)
    with anyio.fail_after(60):
        output = await two_steps().arun("x", websocket=socket)
    assert output.status is RunStatus.completed
    assert len(socket.frames) == good


async def test_websocket_that_hangs_does_not_hold_the_run_up() -> None:
    socket = Hanging()
    with anyio.fail_after(60):
        output = await two_steps().arun("x", websocket=socket)
    assert output.status is RunStatus.completed
    assert len(socket.frames) == 1


async def test_websocket_that_hangs_is_let_go_when_its_queue_is_full() -> None:
    socket = Hanging()
    lengths: list[int] = []

    async def watch() -> None:
        (run,) = [live for live in [find_live("run-1")] if live is not None]
        lengths.append(sum(len(reader) for reader in run.bus.readers))
        await anyio.lowlevel.checkpoint()

    loop = Loop(steps=[Step(name="s", executor=watch)], max_iterations=500)
    with anyio.fail_after(60):
        output = await Workflow(steps=[loop]).arun("x", run_id="run-1", websocket=WebSocketHandler(socket, size=4))
    assert output.status is RunStatus.completed
    assert output.last_seq > 2000
    assert 0 < max(lengths) <= 16 * 4


async def test_websocket_that_is_slow_gets_text_merged_and_every_milestone() -> None:
    socket = Socket()
    gate = anyio.Event()

    class Slow:
        async def send_text(self, data: str) -> None:
            await gate.wait()
            await socket.send_text(data)

    async def talk() -> Any:
        for number in range(300):
            yield f"{number} "
        gate.set()

    await Workflow(steps=[Step(name="talk", executor=talk)]).arun(websocket=WebSocketHandler(Slow(), size=8))
    events = socket.events
    assert len(events) < 20
    assert [event["event"] for event in events if event["event"] != "StepContent"] == [
        "WorkflowStarted",
        "StepStarted",
        "StepOutput",
        "StepCompleted",
        "WorkflowCompleted",
    ]
    text = "".join(event["delta"] for event in events if event["event"] == "StepContent")
    assert text == "".join(f"{number} " for number in range(300))


async def test_websocket_that_cannot_send_text_is_refused_before_anything_starts() -> None:
    ran: list[int] = []
    workflow = Workflow(steps=[lambda step_input: ran.append(1)])
    with pytest.raises(TypeError, match="async send_text"):
        _ = workflow.arun("x", websocket=object())
    assert ran == []


def test_websocket_handler_that_cannot_send_text_is_refused_by_the_constructor() -> None:
    with pytest.raises(TypeError, match="async send_text"):
        Workflow(websocket_handler=42)


async def test_websocket_that_is_refused_leaves_a_paused_run_paused() -> None:
    workflow = Workflow(steps=[Step(name="ask", executor=echo, requires_confirmation=True)], db=InMemoryDb())
    paused = await workflow.arun("x")
    paused.active_step_requirements[0].confirm()
    with pytest.raises(TypeError, match="async send_text"):
        _ = workflow.acontinue_run(paused, websocket=object())
    assert (await workflow.acontinue_run(paused)).status is RunStatus.completed


async def test_websocket_gets_the_text_of_what_cannot_be_encoded() -> None:
    class Odd:
        def __str__(self) -> str:
            return "odd thing"

    socket = Socket()
    await Workflow(steps=[Step(name="odd", executor=lambda step_input: Odd())]).arun(websocket=socket)
    assert socket.events[-1]["event"] == "WorkflowCompleted"
    assert socket.events[-1]["content"] == "odd thing"
    assert [frame["seq"] for frame in socket.events] == [1, 2, 3, 4, 5]


async def test_websocket_of_a_failing_run_is_told_of_the_failure() -> None:
    def refuse() -> None:
        raise LookupError("no")

    socket = Socket()
    with pytest.raises(LookupError):
        await Workflow(steps=[Step(name="bad", executor=refuse)]).arun(websocket=socket)
    assert socket.events[-1]["event"] == "WorkflowError"
