"""core.position: what a reader with a position gets, for random histories of a run. (D3)

Readers have seen any part of what any attempt published, stored or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from histories import Attempt, attempts, folded, merged
from hypothesis import given
from hypothesis import strategies as st

from workflow_runtime import StepContentEvent, WorkflowResumedEvent
from workflow_runtime.core.position import Cursor, Position, last_number, parse_position, stored_end
from workflow_runtime.model.errors import InputError
from workflow_runtime.model.events import Event


@dataclass(frozen=True)
class Spot:
    """A row as ``stored_end`` looks at it."""

    epoch: int
    seq: int
    last_seq: int


def spots(log: Iterable[Event]) -> list[Spot]:
    return [Spot(event.epoch, event.seq, last_number(event)) for event in log]


def end_of(position: Position, rows: Sequence[Spot]) -> tuple[int, int]:
    """(what ``stored_end`` answers, how often it looked)."""
    search, looks = stored_end(position), 0
    try:
        probe = next(search)
        while True:
            looks += 1
            probe = search.send(next((row for row in rows if row.last_seq > probe), None))
    except StopIteration as stop:
        return stop.value, looks


@given(history=attempts(), data=st.data())
def test_what_a_reader_has_seen_and_then_gets_is_the_log(history: list[Attempt], data: st.DataObject) -> None:
    log = [row for attempt in history for row in attempt.stored]
    which = data.draw(st.integers(0, len(history) - 1), label="attempt")
    live = history[which].live
    count = data.draw(st.integers(0, len(live)), label="seen of it")
    seen = [event for attempt in history[:which] for event in attempt.stored] + list(live[:count])
    position = Position(seen[-1].epoch, last_number(seen[-1])) if seen else Position(0, 0)
    end, _ = end_of(position, spots(log))
    # Read from the stored end, or from anywhere before it: the cursor passes over what was seen.
    start = data.draw(st.integers(0, end), label="read from")
    cursor = Cursor(position)
    if end < position.seq:
        cursor.move(Position(position.epoch, end))
    rest = [event for row in log if last_number(row) > start and (event := cursor.take(row)) is not None]
    assert folded([*seen, *rest]) == folded(log)
    if rest:
        assert cursor.position == (rest[-1].epoch, last_number(rest[-1]))
    crashed = [event for event in log if isinstance(event, WorkflowResumedEvent) and event.epoch > position.epoch]
    if crashed and position.seq > crashed[0].after_seq:
        assert crashed[0] in rest, "it is told that what it saw is superseded"


@given(history=attempts(), data=st.data())
def test_a_reader_that_stays_gets_each_event_as_it_is_published(history: list[Attempt], data: st.DataObject) -> None:
    """As a client on one connection: the server has passed over from a process that lost the run to the log."""
    log = [row for attempt in history for row in attempt.stored]
    which = data.draw(st.integers(0, len(history) - 1))
    live = [event for attempt in history[:which] for event in attempt.stored] + list(history[which].live)
    cursor = Cursor(Position(0, 0))
    taken = [event for event in live if cursor.take(event) is not None]
    assert taken == live
    end, _ = end_of(cursor.position, spots(log))
    rest = [event for row in log if last_number(row) > end and (event := cursor.take(row)) is not None]
    assert folded([*taken, *rest]) == folded(log)
    if taken or rest:
        newest = [*taken, *rest][-1]
        assert cursor.position == (newest.epoch, last_number(newest))


@given(history=attempts(), gaps=st.sets(st.integers(0, 40)), epoch=st.integers(0, 5), seq=st.integers(0, 45))
def test_the_stored_end_is_found_also_where_events_were_pruned(
    history: list[Attempt], gaps: set[int], epoch: int, seq: int
) -> None:
    log = spots(row for attempt in history for row in attempt.stored if row.seq not in gaps)
    expected = max((row.last_seq for row in log if row.epoch <= epoch), default=0)
    assert end_of(Position(epoch, seq), log)[0] == min(seq, expected)


@pytest.mark.parametrize("beyond", [1, 7, 5_000])
def test_looking_for_the_stored_end_costs_the_logarithm_of_the_distance(beyond: int) -> None:
    log = [Spot(1, number, number) for number in range(1, 20_001)]
    end, looks = end_of(Position(1, 20_000 + beyond), log)
    assert end == 20_000
    assert looks <= 2 * beyond.bit_length() + 1
    end, looks = end_of(Position(1, 20_000), [*log, Spot(2, 20_001, 20_001)])
    assert (end, looks) == (20_000, 1)


def test_a_position_in_a_merged_text_is_kept_and_only_the_rest_of_it_is_new() -> None:
    text = merged([StepContentEvent(seq=seq, epoch=1, delta=f"{seq} ") for seq in range(3, 7)])
    assert end_of(Position(1, 4), [*spots([text]), Spot(2, 7, 7)]) == (4, 1)
    rest = Cursor(Position(1, 4)).take(text)
    assert isinstance(rest, StepContentEvent)
    assert (rest.seq, rest.last_seq, rest.delta) == (5, 6, "5 6 ")


def test_a_text_of_a_later_attempt_in_which_a_reader_stands_is_all_new() -> None:
    text = merged([StepContentEvent(seq=seq, epoch=2, delta=f"{seq} ") for seq in range(3, 7)])
    assert end_of(Position(1, 4), [Spot(1, 1, 2), *spots([text])])[0] == 2
    cursor = Cursor(Position(1, 4))
    assert cursor.take(text) is text
    assert cursor.position == (2, 6)


def test_merged_texts_of_one_batch_may_overlap_where_no_log_is_kept() -> None:
    left = StepContentEvent(seq=1, last_seq=5, delta="ace", lengths=[1, 1, 1], seqs=[1, 3, 5], path="l")
    right = StepContentEvent(seq=2, last_seq=6, delta="bdf", lengths=[1, 1, 1], seqs=[2, 4, 6], path="r")
    cursor = Cursor(Position(0, 0))
    assert [cursor.take(left), cursor.take(right)] == [left, right]
    cursor.mark()
    assert [cursor.take(left), cursor.take(right)] == [None, None]
    assert cursor.position == (1, 6)
    cursor = Cursor(Position(0, 0))
    assert [cursor.take(right), cursor.take(left)] == [right, left]
    assert cursor.position == (1, 6)


@pytest.mark.parametrize(("after", "expected"), [(0, 0), (7, 7), ("7", 7), ("1-42", (1, 42)), ("0-0", (0, 0))])
def test_a_position_is_an_events_id_or_a_number(after: Any, expected: Any) -> None:
    found = parse_position(after)
    assert found == expected
    assert str(found) == str(after)


@pytest.mark.parametrize(
    "after", ["", "x", "1-", "-1", "1-2-3", "²", "1-²", "9" * 30, "1-" + "9" * 30, -1, 1.5, True, None, 2**63]
)
def test_what_is_no_position_is_refused(after: Any) -> None:
    with pytest.raises(InputError, match="after="):
        parse_position(after)
