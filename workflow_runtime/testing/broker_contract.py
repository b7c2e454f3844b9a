"""What every broker has to do, as tests that a broker's test module subclasses.

    class TestMyBroker(BrokerContract):
        def make(self, tmp_path):
            return MyBroker("my://server")

Tests run on the backends of the ``anyio_backend`` fixture; define that in the module or its conftest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from ..brokers.base import Broker, Hint, Hints, Ticket

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


async def _next(hints: Hints) -> Hint:
    with anyio.fail_after(_PATIENCE):
        while True:
            hint = await hints.next(5.0)
            if hint is not None:
                return hint
