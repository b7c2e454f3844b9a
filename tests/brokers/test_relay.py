"""How a reader joins the relay with what it has: gaps, duplicates, other attempts, merged text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from workflow_runtime import InMemoryDb, StepContentEvent, StepStartedEvent, WorkflowStartedEvent
from workflow_runtime.brokers.base import Follower
from workflow_runtime.brokers.local import LocalBroker
from workflow_runtime.core.position import Position
from workflow_runtime.engine.bus.relayed import Relayed
from workflow_runtime.model import codec
from workflow_runtime.model.enums import RunStatus
from workflow_runtime.storage.base import RunRow

pytestmark = pytest.mark.anyio


def numbered(seq: int, epoch: int = 1) -> Any:
    kind = WorkflowStartedEvent if seq == 1 else StepStartedEvent
    return kind(seq=seq, epoch=epoch, created_at=1, run_id="r", path="" if seq == 1 else "0.a")


class Played(Follower):
    def __init__(self) -> None:
        self.parts: list[Sequence[Any]] = []
        self.closed = False

    async def next(self, timeout: float) -> list[bytes]:
        return [codec.encode_event(event) for event in self.parts.pop(0)] if self.parts else []

    async def aclose(self) -> None:
        self.closed = True


class Broker(LocalBroker):
    relays = True

    def __init__(self) -> None:
        super().__init__(InMemoryDb())
        self.follower = Played()
        self.asked: list[tuple[str, str]] = []

    async def follow(self, run_id: str) -> Follower:
        return self.follower

    async def signal(self, owner: str, run_id: str) -> None:
        self.asked.append((owner, run_id))


def row(owner: str | None = "w", attempt: int = 1) -> RunRow:
    return RunRow(run_id="r", session_id="s", status=RunStatus.running, owner=owner, attempt=attempt)


async def numbers(relayed: Relayed, position: Position) -> list[tuple[int, int]]:
    return [(event.epoch, event.seq) for event in await relayed.next(position, 0.0)]


async def joined(broker: Broker) -> Relayed:
    relayed = Relayed(broker, "r")
    assert await relayed.joins(Position(0, 0), row())
    return relayed


async def test_what_follows_on_is_taken_and_what_was_seen_is_not() -> None:
    broker = Broker()
    relayed = await joined(broker)
    broker.follower.parts = [[numbered(1), numbered(2)], [numbered(1), numbered(2), numbered(3)]]
    assert await numbers(relayed, Position(0, 0)) == [(1, 1), (1, 2)]
    assert await numbers(relayed, Position(1, 2)) == [(1, 3)]
    assert broker.asked == [("w", "r")]
    await relayed.aclose()
    assert broker.follower.closed


async def test_a_gap_sends_the_reader_to_the_log_and_to_the_owner() -> None:
    broker = Broker()
    relayed = await joined(broker)
    broker.follower.parts = [[numbered(1), numbered(4)]]
    assert await numbers(relayed, Position(0, 0)) == [(1, 1)]
    assert not relayed.leads
    broker.follower.parts = [[numbered(2), numbered(3)]]  # the owner relays them again
    assert await relayed.joins(Position(1, 1), row())
    assert relayed.leads
    assert await numbers(relayed, Position(1, 1)) == [(1, 2), (1, 3), (1, 4)]
    assert broker.asked == [("w", "r")] * 2


async def test_the_log_fills_a_gap() -> None:
    broker = Broker()
    relayed = await joined(broker)
    broker.follower.parts = [[numbered(4)]]
    assert await numbers(relayed, Position(1, 1)) == []
    assert await relayed.joins(Position(1, 3), row())  # the reader has read 2 and 3 in the log
    assert await numbers(relayed, Position(1, 3)) == [(1, 4)]


async def test_events_of_a_lost_attempt_are_dropped_and_those_of_the_next_wait_for_the_log() -> None:
    broker = Broker()
    relayed = await joined(broker)
    broker.follower.parts = [[numbered(3, epoch=2), numbered(4, epoch=1)]]
    assert await numbers(relayed, Position(1, 3)) == [(1, 4)]
    assert not relayed.leads
    # The log says that attempt 1 was stored up to 2: there attempt 2 begins.
    assert await relayed.joins(Position(2, 2), row(attempt=2))
    assert await numbers(relayed, Position(2, 2)) == [(2, 3)]


async def test_merged_text_that_the_reader_has_in_part_is_taken() -> None:
    broker = Broker()
    relayed = await joined(broker)
    text = StepContentEvent(
        seq=3, last_seq=5, epoch=1, created_at=1, run_id="r", path="0.a", delta="abc", lengths=[1, 1, 1]
    )
    broker.follower.parts = [[text, numbered(6)]]
    assert await numbers(relayed, Position(1, 3)) == [(1, 3), (1, 6)]


async def test_an_owner_is_asked_once_and_the_next_one_again() -> None:
    broker = Broker()
    relayed = Relayed(broker, "r")
    await relayed.joins(Position(0, 0), row(owner=None, attempt=0))
    await relayed.joins(Position(0, 0), row())
    await relayed.joins(Position(0, 0), row())
    await relayed.joins(Position(0, 0), row("v", 2))
    assert broker.asked == [("w", "r"), ("v", "r")]


async def test_what_is_no_event_of_the_run_is_passed_over() -> None:
    broker = Broker()
    relayed = await joined(broker)
    other = StepStartedEvent(seq=2, epoch=1, created_at=1, run_id="another", path="0.a")
    broker.follower.parts = [[numbered(1), other, numbered(2)]]
    events = await relayed.next(Position(0, 0), 0.0)
    assert [(event.run_id, event.seq) for event in events] == [("r", 1), ("r", 2)]
