"""The life of a run in one process is a table: each cell is filled, and an execution does what it says."""

from __future__ import annotations

from itertools import product

import pytest

from workflow_runtime.core.life import KEEP, OVER, REFUSE, TABLE, Happening, Life, next_life


def test_every_cell_is_filled() -> None:
    assert len(TABLE) == len(Happening)
    assert {len(row) for row in TABLE} == {len(Life)}
    for life, happening in product(Life, Happening):
        assert next_life(life, happening) in {*Life, KEEP, REFUSE}


def reached(start: Life) -> set[Life]:
    found, todo = {start}, [start]
    while todo:
        life = todo.pop()
        for happening in Happening:
            cell = next_life(life, happening)
            if isinstance(cell, Life) and cell not in found:
                found.add(cell)
                todo.append(cell)
    return found


def test_every_state_can_be_reached() -> None:
    assert reached(Life.WAITING) == set(Life)


@pytest.mark.parametrize("life", set(Life) - {Life.ENDED, Life.GONE})
def test_from_every_state_a_run_can_end_and_can_be_given_up(life: Life) -> None:
    assert {Life.ENDED, Life.GONE} <= reached(life)


def test_nothing_happens_to_a_run_that_is_gone_and_an_end_is_only_stored_again() -> None:
    assert {next_life(Life.GONE, happening) for happening in Happening} == {REFUSE}
    acts = {happening for happening in Happening if next_life(Life.ENDED, happening) is not REFUSE}
    assert acts == {Happening.STORED}
    assert reached(Life.ENDED) == {Life.ENDED}


def test_a_run_that_is_over_here_only_comes_back_when_a_continue_has_claimed_it() -> None:
    back = {
        happening
        for happening in Happening
        if isinstance(cell := next_life(Life.PARKED, happening), Life)
        and cell not in OVER
        and cell not in (Life.COMPENSATING, Life.ENDING)
    }
    assert back == {Happening.CLAIM}


def test_what_is_told_to_a_run_while_it_stores_something_is_kept() -> None:
    for happening in (Happening.CANCEL, Happening.FAIL, Happening.ANSWERED, Happening.CLAIM):
        assert next_life(Life.PAUSING, happening) is KEEP
    assert next_life(Life.ENDING, Happening.CANCEL) is KEEP  # the database says which came first
    assert next_life(Life.ENDING, Happening.ANSWERED) is REFUSE


def test_what_a_run_has_decided_is_compensated_whatever_happens_but_that_its_process_lets_go_of_it() -> None:
    acts = {
        happening: cell
        for happening in Happening
        if isinstance(cell := next_life(Life.COMPENSATING, happening), Life) and cell is not Life.COMPENSATING
    }
    assert acts == {Happening.FINISH: Life.ENDING, Happening.LEAVE: Life.GONE}
    assert next_life(Life.COMPENSATING, Happening.CANCEL) is KEEP
    assert next_life(Life.ENDING, Happening.COMPENSATE) is Life.COMPENSATING  # its end was refused
