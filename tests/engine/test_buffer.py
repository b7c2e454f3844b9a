"""The bounded buffer between a run and one reader, under each of its policies. No event loop is needed to decide. (D5)"""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from verbs import expanded, names

from workflow_runtime import ReaderTooSlow, StepContentEvent, StepStartedEvent
from workflow_runtime.engine.bus import POLICIES, Buffer, Bus, content_after


def chunk(seq: int, text: Any = "x", path: str = "0.a", attempt: int = 1) -> StepContentEvent:
    return StepContentEvent(seq=seq, path=path, delta=text, attempt=attempt)


def milestone(seq: int) -> StepStartedEvent:
    return StepStartedEvent(seq=seq, path="0.a")


def all_of(buffer: Buffer) -> list[Any]:
    found = []
    while (event := buffer.take_nowait()) is not None:
        found.append(event)
    return found


def fill(policy: str, *events: Any, size: int = 4) -> Buffer:
    buffer = Buffer(size, policy)
    for event in events:
        buffer.offer(event)
    return buffer


@pytest.mark.parametrize("policy", POLICIES)
def test_a_reader_that_keeps_up_sees_every_event_as_it_was(policy: str) -> None:
    buffer = Buffer(2, policy)
    seen = []
    for seq in range(1, 101):
        buffer.offer(chunk(seq, str(seq)))
        seen += all_of(buffer)
    assert [(event.seq, event.delta) for event in seen] == [(seq, str(seq)) for seq in range(1, 101)]


def test_block_is_full_at_its_size_and_has_room_again_at_half() -> None:
    buffer = fill("block", *(chunk(seq) for seq in range(1, 5)))
    assert buffer.full
    buffer.take_nowait()
    assert buffer.full
    buffer.take_nowait()
    assert not buffer.full


def test_coalesce_merges_adjacent_text_and_loses_none() -> None:
    buffer = fill("coalesce", *(chunk(seq, f"{seq} ") for seq in range(1, 101)))
    assert len(buffer) == 4
    found = all_of(buffer)
    assert "".join(event.delta for event in found) == "".join(f"{seq} " for seq in range(1, 101))
    assert [(event.seq, event.delta) for event in expanded(found)] == [(seq, f"{seq} ") for seq in range(1, 101)]
    assert (found[-1].seq, found[-1].last_seq) == (4, 100)
    assert buffer.last_seq == 100


@pytest.mark.parametrize(
    ("last", "following"),
    [
        (chunk(4), chunk(5, path="1.b")),
        (chunk(4), chunk(5, attempt=2)),
        (chunk(4), chunk(6)),
        (chunk(4), chunk(5, {"row": 1})),
        (chunk(4, 7), chunk(5)),
    ],
    ids=["another step", "another attempt", "a gap", "no text", "no text before"],
)
def test_coalesce_merges_only_what_follows_on(last: Any, following: Any) -> None:
    buffer = fill("coalesce", milestone(1), milestone(2), milestone(3), last, following)
    assert all_of(buffer) == [milestone(1), milestone(2), milestone(3), last, following]


def test_drop_lets_the_oldest_deltas_go_and_no_milestone() -> None:
    buffer = fill("drop", milestone(1), chunk(2), chunk(3), milestone(4), chunk(5), milestone(6), chunk(7))
    found = all_of(buffer)
    assert [event.seq for event in found if isinstance(event, StepStartedEvent)] == [1, 4, 6]
    assert [event.seq for event in found if isinstance(event, StepContentEvent)] == [5, 7]


def test_drop_drops_the_new_delta_where_only_milestones_wait() -> None:
    buffer = fill("drop", *(milestone(seq) for seq in range(1, 5)), chunk(5))
    assert names(all_of(buffer)) == ["StepStarted"] * 4


@pytest.mark.anyio
async def test_disconnect_closes_the_reader_with_where_to_resume() -> None:
    buffer = fill("disconnect", *(chunk(seq) for seq in range(1, 7)))
    seen = [await buffer.take() for _ in range(4)]
    assert [event.seq for event in seen if event is not None] == [1, 2, 3, 4]
    with pytest.raises(ReaderTooSlow, match=r"after=") as raised:
        await buffer.take()
    assert raised.value.last_seq == 0, "what it had taken when it was disconnected"
    assert await buffer.take() is None


@pytest.mark.anyio
@pytest.mark.parametrize("policy", ["coalesce", "drop"])
async def test_a_flood_of_milestones_disconnects_too_or_memory_would_grow(policy: str) -> None:
    buffer = fill(policy, *(milestone(seq) for seq in range(1, 1000)))
    assert len(buffer) == 16 * 4
    seen = []
    with pytest.raises(ReaderTooSlow):  # noqa: PT012 -- what comes before the error is part of it
        while True:
            seen.append(await buffer.take())
    assert len(seen) == 16 * 4


@pytest.mark.anyio
async def test_a_disconnected_reader_is_told_also_when_the_run_has_ended_meanwhile() -> None:
    bus = Bus()
    reader = bus.attach(Buffer(1, "disconnect"))
    for seq in (1, 2, 3):
        bus.publish(milestone(seq))
    bus.close()
    assert await reader.take() == milestone(1)
    with pytest.raises(ReaderTooSlow):
        await reader.take()


def test_a_sieve_keeps_events_out_of_the_buffer() -> None:
    buffer = Buffer(4, "block", sieve=lambda event: event.event == "StepStarted")
    for event in (milestone(1), chunk(2), milestone(3)):
        buffer.offer(event)
    assert [event.seq for event in all_of(buffer)] == [1, 3]


def test_unknown_policies_and_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="block, coalesce, drop, disconnect"):
        Buffer(4, "hope")
    with pytest.raises(ValueError, match="at least 1"):
        Buffer(0)


def test_merging_text_costs_the_same_per_chunk_however_much_there_is() -> None:
    buffer = fill("coalesce", *(chunk(seq, "y" * 10) for seq in range(1, 200_001)))  # a square of it would take minutes
    found = all_of(buffer)
    assert len(found[-1].delta) == (200_000 - 3) * 10


@pytest.mark.parametrize(("after", "rest", "first"), [(0, "abbccc", 1), (1, "bbccc", 2), (2, "ccc", 3)])
def test_the_part_of_merged_text_behind_a_number(after: int, rest: str, first: int) -> None:
    merged = StepContentEvent(seq=1, last_seq=3, delta="abbccc", lengths=[1, 2, 3])
    part = content_after(merged, after)
    assert (part.delta, part.seq) == (rest, first)


def test_a_reader_that_left_holds_nobody_up() -> None:
    bus = Bus()
    reader = bus.attach(Buffer(1, "block"))
    bus.publish(milestone(1))
    assert bus.behind
    bus.detach(reader)
    anyio.run(bus.settle)
    assert not bus.behind
    bus.publish(milestone(2))
    assert len(reader) == 0


def test_an_observer_that_raises_is_detached_and_the_others_go_on() -> None:
    bus = Bus()
    seen: list[int] = []
    broken: list[str] = []

    def raises(event: Any) -> None:
        raise ZeroDivisionError

    bus.observers += [raises, lambda event: seen.append(event.seq)]
    bus.on_broken = lambda observer, error: broken.append(type(error).__name__)
    bus.publish(milestone(1))
    bus.publish(milestone(2))
    assert (seen, broken) == ([1, 2], ["ZeroDivisionError"])


def test_an_event_that_a_strict_subscriber_refuses_has_no_number_and_nobody_saw_it() -> None:
    bus = Bus()
    reader = bus.attach(Buffer(4))

    def refuses(event: Any) -> None:
        raise ValueError("not this one")

    bus.strict.append(refuses)
    with pytest.raises(ValueError, match="not this one"):
        bus.publish(milestone(1))
    assert (bus.seq, len(reader)) == (0, 0)
