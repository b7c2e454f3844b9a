"""The bounded buffer between a run and one reader, under each of its policies. No event loop is needed to decide. (D5)"""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from verbs import expanded, names, of_kind

from workflow_runtime import ReaderTooSlow, StepContentEvent, StepStartedEvent
from workflow_runtime.core.position import content_after
from workflow_runtime.engine.bus import buffer as buffer_module
from workflow_runtime.engine.bus.buffer import POLICIES, Buffer
from workflow_runtime.engine.bus.bus import Bus


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
        (chunk(4), chunk(5, {"row": 1})),
        (chunk(4, 7), chunk(5)),
    ],
    ids=["another step", "another attempt", "no text", "no text before"],
)
def test_coalesce_merges_only_what_follows_on(last: Any, following: Any) -> None:
    buffer = fill("coalesce", milestone(1), milestone(2), milestone(3), last, following)
    assert all_of(buffer) == [milestone(1), milestone(2), milestone(3), last, following]


def test_coalesce_merges_the_text_of_interleaved_branches_each_for_itself() -> None:
    events = [chunk(seq, f"{seq} ", path=f"0.{'ab'[seq % 2]}") for seq in range(1, 1001)]
    buffer = fill("coalesce", *events)
    assert len(buffer) == 6, "four that filled it, and one text for each branch"
    found = all_of(buffer)
    assert sorted(expanded(found), key=lambda event: event.seq) == events, "none is lost, each with its number"
    assert found[-1].seqs == list(range(6, 1001, 2))
    assert buffer.last_seq == 1000


def test_coalesce_moves_no_text_over_a_milestone() -> None:
    texts = [chunk(5), chunk(6, path="1.b"), chunk(7), milestone(8), chunk(9), chunk(10, path="1.b"), chunk(11)]
    buffer = fill("coalesce", *(milestone(seq) for seq in range(1, 5)), *texts)
    found = all_of(buffer)[4:]
    assert [(event.event, event.path, getattr(event, "seqs", None)) for event in found] == [
        ("StepContent", "0.a", [5, 7]),
        ("StepContent", "1.b", None),
        ("StepStarted", "0.a", None),
        ("StepContent", "0.a", [9, 11]),
        ("StepContent", "1.b", None),
    ]


def test_text_that_waited_does_not_grow_over_a_milestone_that_came_while_there_was_room() -> None:
    buffer = fill("coalesce", *(milestone(seq) for seq in range(1, 5)), chunk(5), chunk(6, path="1.b"))
    for _ in range(4):
        buffer.take_nowait()
    for event in (milestone(7), milestone(8), chunk(9), chunk(10)):
        buffer.offer(event)
    assert [event.seq for event in all_of(buffer)] == [5, 6, 7, 8, 9]


def test_a_buffer_that_keeps_numbers_together_merges_only_what_follows_on() -> None:
    buffer = Buffer(4, "coalesce", apart=False)
    for seq in range(1, 200):
        buffer.offer(chunk(seq, path=f"0.{'ab'[seq % 2]}"))
    assert len(buffer) == 16 * 4
    assert all(event.seqs is None for event in all_of(buffer))


def test_under_coalesce_the_oldest_text_goes_when_too_much_waits_and_no_milestone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buffer_module, "_MOST_TEXT", 10_000)
    monkeypatch.setattr(buffer_module, "LARGE", 1_000)
    buffer = fill("coalesce", *(milestone(seq) for seq in range(1, 5)))
    for seq in range(5, 2005):
        buffer.offer(milestone(seq) if seq % 500 == 0 else chunk(seq, "x" * 100, path=f"0.{'ab'[seq % 2]}"))
    found = all_of(buffer)
    assert sum(len(event.delta) for event in of_kind(found, "StepContent")) <= 11_000
    assert [event.seq for event in of_kind(found, "StepStarted")] == [1, 2, 3, 4, 500, 1000, 1500, 2000]
    assert found[-1].last_seq == 2004, "what is newest is there"


def test_under_coalesce_other_deltas_go_before_a_milestone_does() -> None:
    rows = [chunk(seq, {"row": seq}) for seq in range(1, 1000)]
    buffer = fill("coalesce", milestone(0), *rows, milestone(1000))
    assert len(buffer) == 16 * 4
    assert [event.seq for event in of_kind(all_of(buffer), "StepStarted")] == [0, 1000]


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
    assert raised.value.last_seq == 4, "what it had taken"
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
    texts = (chunk(seq, "y" * 10) for seq in range(1, 200_001))  # a square of it would take minutes
    buffer = fill("coalesce", *texts, size=64)
    found = all_of(buffer)
    assert sum(len(event.delta) for event in found) == 200_000 * 10
    assert len(found) < 400


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

    bus.observers = (raises, lambda event: seen.append(event.seq))
    bus.on_broken = lambda observer, error: broken.append(type(error).__name__)
    bus.publish(milestone(1))
    bus.publish(milestone(2))
    assert (seen, broken) == ([1, 2], ["ZeroDivisionError"])


def test_an_event_that_a_strict_subscriber_refuses_has_no_number_and_nobody_saw_it() -> None:
    bus = Bus()
    reader = bus.attach(Buffer(4))

    def refuses(event: Any) -> None:
        raise ValueError("not this one")

    bus.strict = (refuses,)
    with pytest.raises(ValueError, match="not this one"):
        bus.publish(milestone(1))
    assert (bus.seq, len(reader)) == (0, 0)
