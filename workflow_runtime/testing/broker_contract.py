"""What every broker has to do, as tests that a broker's test module subclasses.

    class TestMyBroker(BrokerContract):
        def make(self, tmp_path):
            return MyBroker("my://server")

Tests run on the backends of the ``anyio_backend`` fixture; define that in the module or its conftest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from ..brokers.base import Broker, Hint, Hints, Ticket
from ..engine.start.runtime import Runtime
from ..model.enums import RunStatus
from ..model.errors import QueueFull
from ..model.limit import Limit
from ..model.run import WorkflowRunOutput
from ..model.step_io import StepInput
from ..storage.base import BaseDb
from ..storage.memory import InMemoryDb
from ..workflow import Workflow
from .clock import FakeClock

__all__ = ["BrokerContract"]

_PATIENCE = 60.0
"""Seconds until a test is given up. None waits so long when it passes."""


def ticket(run_id: str = "r1", queue: str = "default", workflow_id: str = "wf") -> Ticket:
    return Ticket(queue=queue, workflow_id=workflow_id, run_id=run_id)


class BrokerContract:
    """One test per promise of ``brokers.base``. Subclass it, and say how to ``make`` a broker."""

    pytestmark = pytest.mark.anyio

    def make(self, tmp_path: Path) -> Broker:
        """A broker without tickets; ``tmp_path`` is a directory for this test alone."""
        raise NotImplementedError

    def another(self, broker: Broker) -> Broker:
        """A second object, as another process has it, that reaches the same workers."""
        raise NotImplementedError

    async def queue(self, broker: Broker, given: Ticket) -> None:
        """Queue a run as a producer does: a broker whose hints come from a database overrides it."""
        await broker.offer(given)

    def database(self, broker: Broker) -> BaseDb:
        """The database of the workflows that use this object. The default is one in memory, which all objects of a test
        share."""
        found: InMemoryDb | None = getattr(self, "_shared", None)
        if found is None:
            found = self._shared = InMemoryDb()
        return found

    @pytest.fixture
    async def broker(self, tmp_path: Path) -> AsyncIterator[Broker]:
        made = self.make(tmp_path)
        try:
            yield made
        finally:
            await made.aclose()

    @pytest.fixture
    async def other(self, broker: Broker) -> AsyncIterator[Broker]:
        made = self.another(broker)
        try:
            yield made
        finally:
            await made.aclose()

    # -- hints ---------------------------------------------------------------------------------------------------------

    async def test_a_broker_says_where_it_is_and_that_it_is_there(self, broker: Broker) -> None:
        await broker.open()
        await broker.open()
        await broker.check()
        assert broker.place

    async def test_a_ticket_wakes_a_worker_that_waits(self, broker: Broker, other: Broker) -> None:
        hints = await other.hints(["default"], ["wf"])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.queue, broker, ticket())
            hint = await _next(hints)
            await hint.done()
        await hints.aclose()

    async def test_a_ticket_waits_for_a_worker(self, broker: Broker, other: Broker) -> None:
        await self.queue(broker, ticket())
        hints = await other.hints(["default"], ["wf"])
        hint = await _next(hints)
        await hint.done()
        await hints.aclose()

    async def test_a_worker_hears_of_all_its_queues_and_workflows(self, broker: Broker, other: Broker) -> None:
        hints = await other.hints(["default", "slow"], ["wf", "other"])
        for number, (queue, workflow) in enumerate((("slow", "wf"), ("default", "other"), ("default", "wf"))):
            await self.queue(broker, ticket(f"r{number}", queue, workflow))
            await (await _next(hints)).done()
        await hints.aclose()

    async def test_a_worker_is_not_woken_for_other_queues(self, broker: Broker, other: Broker) -> None:
        hints = await other.hints(["default"], ["wf"])
        await self.queue(broker, ticket("r1", "slow"))
        await self.queue(broker, ticket("r2"))
        hint = await _next(hints)
        await hint.done()
        if hint.runs is not None:
            assert await hints.next(0.0) is None
        await hints.aclose()

    async def test_each_ticket_is_given_to_one_worker(self, broker: Broker, other: Broker) -> None:
        """Where a hint is of one run: as many hints as tickets, whoever gets them."""
        first, second = await broker.hints(["default"], ["wf"]), await other.hints(["default"], ["wf"])
        for number in range(20):
            await self.queue(broker, ticket(f"r{number}"))
        given = 0
        with anyio.fail_after(_PATIENCE):
            while given < 20:
                for hints in (first, second):
                    hint = await hints.next(1.0)
                    if hint is not None:
                        await hint.done()
                        given = 20 if hint.runs is None else given + hint.runs
        assert given == 20
        await first.aclose()
        await second.aclose()

    async def test_a_hint_that_was_not_done_is_given_again(self, broker: Broker, other: Broker) -> None:
        await self.queue(broker, ticket())
        dying = await broker.hints(["default"], ["wf"])
        await _next(dying)
        await dying.aclose()  # and never done
        hints = await other.hints(["default"], ["wf"])
        await (await _next(hints)).done()
        await hints.aclose()

    async def test_a_closed_broker_can_be_used_again(self, broker: Broker, other: Broker) -> None:
        await broker.open()
        await broker.aclose()
        await self.queue(broker, ticket())
        hints = await other.hints(["default"], ["wf"])
        await (await _next(hints)).done()
        await hints.aclose()

    async def test_names_may_hold_anything(self, broker: Broker, other: Broker) -> None:
        queue, workflow = "a queue.of > all * things/é", "wf with spaces. and dots"
        hints = await other.hints([queue], [workflow])
        await self.queue(broker, ticket("run.1 > *", queue, workflow))
        await (await _next(hints)).done()
        await hints.aclose()

    # -- signals and events ----------------------------------------------------------------------------------------------

    async def test_a_signal_reaches_the_owner_of_the_run(self, broker: Broker, other: Broker) -> None:
        heard: list[str] = []
        woken = anyio.Event()

        def hear(run_id: str) -> None:
            heard.append(run_id)
            woken.set()

        listening = await other.listen("host:1:a b", hear)
        await broker.signal("somebody else", "r0")
        await broker.signal("host:1:a b", "r1")
        if listening is None:
            return  # owners look often enough
        with anyio.fail_after(_PATIENCE):
            await woken.wait()
        assert heard == ["r1"]
        await listening.aclose()

    async def test_events_reach_those_who_follow_in_order(self, broker: Broker, other: Broker) -> None:
        follower = await other.follow("run.1")
        second = await other.follow("run.2")
        for number in range(100):
            broker.relay("run.1", b'{"n":%d}' % number)
        broker.relay("run.2", b'{"n":"other"}')
        assert (follower is not None) is broker.relays
        if follower is None or second is None:
            return
        found: list[bytes] = []
        with anyio.fail_after(_PATIENCE):
            while len(found) < 100:
                found += await follower.next(5.0)
            rest = await second.next(30.0)
        assert found == [b'{"n":%d}' % number for number in range(100)]
        assert rest == [b'{"n":"other"}']
        await follower.aclose()
        await second.aclose()

    async def test_relaying_to_nobody_costs_nothing_but_the_message(self, broker: Broker) -> None:
        broker.relay("nobody", b"{}")

    # -- limits of queued runs -----------------------------------------------------------------------------------------

    def workflow(self, broker: Broker, step: Callable[[StepInput], Awaitable[str]], **options: Any) -> Workflow:
        return Workflow(name="limited", db=self.database(broker), broker=broker, steps=[step], **options)

    async def test_no_limit_is_exceeded_and_every_run_ends(self, broker: Broker, other: Broker) -> None:
        inside: dict[str, int] = {}
        most: dict[str, int] = {}

        async def work(step_input: StepInput) -> str:
            key = str(step_input.input)
            inside[key] = inside.get(key, 0) + 1
            most[key] = max(most.get(key, 0), inside[key])
            await anyio.lowlevel.checkpoint()
            inside[key] -= 1
            return key

        limits = [Limit(key="user_id", concurrency=2)]
        producer, worker = (self.workflow(at, work, limits=limits) for at in (broker, other))
        runs = [
            (await producer.arun(user, user_id=user, background=True)).run_id or ""
            for _ in range(4)
            for user in ("ada", "bob", "cy")
        ]
        async with Runtime(producer, queues=["default"]), Runtime(worker, queues=["default"]):
            for run_id in runs:
                assert (await _ended(producer, run_id)).status is RunStatus.completed
        assert max(most.values()) <= 2

    async def test_the_end_of_a_run_lets_another_of_its_key_begin(self, broker: Broker, other: Broker) -> None:
        opened = {name: anyio.Event() for name in ("first", "second")}
        begun = {name: anyio.Event() for name in opened}

        async def work(step_input: StepInput) -> str:
            name = str(step_input.input)
            begun[name].set()
            await opened[name].wait()
            return name

        limits = [Limit(key="session_id", concurrency=1)]
        producer, worker = (self.workflow(at, work, limits=limits) for at in (broker, other))
        async with Runtime(worker, queues=["default"]):
            runs = [(await producer.arun(name, session_id="s", background=True)).run_id or "" for name in opened]
            with anyio.fail_after(_PATIENCE):
                await begun["first"].wait()
            assert not begun["second"].is_set()
            opened["first"].set()
            with anyio.fail_after(_PATIENCE):
                await begun["second"].wait()
            opened["second"].set()
            assert [(await _ended(producer, run_id)).content for run_id in runs] == ["first", "second"]

    async def test_a_full_queue_refuses_and_the_same_id_is_the_same_run(self, broker: Broker, other: Broker) -> None:
        async def work(step_input: StepInput) -> str:
            return str(step_input.input)

        limits = [Limit(key="user_id", max_queued=1)]
        producer, second = (self.workflow(at, work, limits=limits) for at in (broker, other))
        first = await producer.arun("x", background=True, deduplication_id="import")
        same = await second.arun("y", background=True, deduplication_id="import")
        assert same.run_id == first.run_id
        with pytest.raises(QueueFull):
            await second.arun("z", background=True)
        async with Runtime(second, queues=["default"]):
            assert (await _ended(producer, first.run_id or "")).content == "x"
        later = await producer.arun("y", background=True, deduplication_id="import")
        assert later.run_id != first.run_id

    async def test_each_tick_of_a_schedule_is_one_run(self, broker: Broker, other: Broker) -> None:
        async def work(step_input: StepInput) -> str:
            return str(step_input.input)

        clock = FakeClock()
        first, second = (self.workflow(at, work, clock=clock) for at in (broker, other))
        schedule = await first.aschedule("hourly", every=3_600, input="x")
        async with Runtime(first, queues=["default"]) as one, Runtime(second, queues=["default"]) as two:
            clock.advance(3_600)
            with anyio.fail_after(_PATIENCE):
                while not (one.report.scheduled or two.report.scheduled):
                    clock.advance(1)
                    await anyio.sleep(0.01)
            [run_id] = one.report.scheduled or two.report.scheduled
            assert (await _ended(first, run_id)).content == "x"
        assert len(one.report.scheduled + two.report.scheduled) == 1
        assert (await first.alist_schedules())[0].next_at == schedule.next_at + timedelta(hours=1)


async def _ended(workflow: Workflow, run_id: str) -> WorkflowRunOutput:
    with anyio.fail_after(_PATIENCE):
        async for _ in workflow.subscribe(run_id):
            pass
    output = await workflow.aget_run(run_id)
    assert output is not None
    return output


async def _next(hints: Hints) -> Hint:
    with anyio.fail_after(_PATIENCE):
        while True:
            hint = await hints.next(5.0)
            if hint is not None:
                return hint
