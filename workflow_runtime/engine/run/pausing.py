"""How a run pauses and goes further: its pause is stored, refused by answers that came first, or called off. (D8)

A walk that ends at open questions pauses by ``pause_walk``. A run whose steps all wait in memory pauses by ``quiet``; it is
then parked, and ``wake`` lets a continue go on with it. Answers that no waiting step can take (their branch has stopped at a
guard while another one waits) are reached by walking the tree again over its journal (``_walk_again``).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import anyio

from ...core.life import REFUSE, Happening, Life
from ...model.errors import AnswersArrived
from ..loop.loops import spawn
from .ending import CUT_OFF, PAUSED, Cancelled, EndRefused, finish, finish_whole, store_pause
from .heartbeat import unwatch, watch

if TYPE_CHECKING:
    from .execution import Execution

__all__ = ["deliver", "pause_walk", "quiet", "wake"]

logger = logging.getLogger("workflow_runtime")


async def pause_walk(run: Execution) -> tuple[bool, BaseException | None]:
    """Store the pause of a run whose walk has stopped at open questions, unless an answer came first.

    Returns:
        Whether the run is over here (paused, or ended since the pause could not be stored), and what cancelled its task
        from outside meanwhile.
    """
    run.happen(Happening.QUIET)
    try:
        cut_off = await finish_whole(run, PAUSED)
    except AnswersArrived:
        await run.people.read_answers(run)
        run.happen(Happening.CONTINUE)
        return False, None
    except EndRefused as refused:  # it ends instead of pausing: as cancelled, or with this failure
        _end_instead(run, refused.outcome)
        run.happen(Happening.CONTINUE)
        return False, None
    run.happen(Happening.STORED)
    return True, cut_off


def quiet(run: Execution) -> None:
    """Every branch waits for an answer in the middle of a step: pause now, keep the task."""
    if not run.rewalking and run.happen(Happening.QUIET) is not REFUSE:
        run.parking.limits.stop()
        spawn(lambda: _pause_parked(run), f"pause {run.id}")


async def _pause_parked(run: Execution) -> None:
    if run.life is not Life.PAUSING:  # let go meanwhile
        return
    if run.cancelled or run.failure is not None or _works(run) or _untried(run):
        _go_further(run)
        return
    run.parking.pausing = over = anyio.Event()
    try:
        await finish(run, PAUSED)
    except AnswersArrived:
        await _read_answers(run)
        return
    except EndRefused as refused:
        _end_instead(run, refused.outcome)
        _go_further(run)
        return
    finally:
        over.set()
    await _park(run)


def _end_instead(run: Execution, outcome: Any) -> None:
    """The pause was refused, and its walk is to end: so that what it has completed is compensated."""
    if isinstance(outcome, Cancelled):
        run.cancel(outcome.reason)
    else:
        run.fail(outcome)


async def _read_answers(run: Execution) -> None:
    try:
        await run.people.read_answers(run)
    except Exception as error:
        run.fail(error)
    _go_further(run)


async def _park(run: Execution) -> None:
    """The pause is stored (or could not be, and the run ended): show that, and give up what it holds."""
    if run.life is Life.GONE:
        run.end()
        run.scope.cancel()  # where another process has taken it over, its steps still wait
        return
    if not run.output.is_paused:
        run.happen(Happening.STORED)
        run.end()
        run.scope.cancel()  # its task unwinds, and gives up the rest
        return
    run.happen(Happening.PARK)
    run.canceller.forget()  # what came behind the stored pause
    run.end()
    unwatch(run)
    if run.turn is not None:
        await run.turn.give_up()
    if run.parked and run.definition.db is not None:
        run.canceller.evict_later(run)


def _go_further(run: Execution) -> None:
    if run.happen(Happening.CONTINUE) is REFUSE:
        return
    if run.recorder is not None:
        run.recorder.flush_soon()  # of the questions, which were to go with the pause
    run.parking.limits.start()
    if not run.canceller.act_on_kept(run):
        _deliver_and_open(run)


def _works(run: Execution) -> bool:
    """Whether something of the run goes on by itself, or has and waits for the run."""
    return run.parking.strands.busy > 0 or run.parking.gated > 0 or run.steering.acting > 0


def _deliver_and_open(run: Execution) -> None:
    """The run goes on: first its answers, then what was done while it was paused."""
    deliver(run)
    run.parking.open_gate()


def _untried(run: Execution) -> bool:
    """Whether there are answers, or orders, that the walk under way did not begin with, and no step has used."""
    run.people.take_messages(run)
    if run.steering.has_untried:
        return True
    return bool(run.pauses.fresh) and frozenset(run.pauses.fresh) != run.tried


def deliver(run: Execution) -> None:
    """Wake the steps that wait for the new answers. When none does and nothing else works, the tree is walked again."""
    parking = run.parking
    run.people.take_messages(run)
    acted = run.steering.act(run)
    if parking.wake(run.pauses.fresh) or acted or _works(run):
        return
    if _untried(run):
        _walk_again(run)
    else:
        quiet(run)


def _walk_again(run: Execution) -> None:
    """Let the steps that wait go, and walk the tree from its journal; only what has an answer is entered again."""
    if run.walk_scope is None:
        return
    run.rewalking = True
    run.walk_scope.cancel()


async def wake(run: Execution) -> None:
    """Go on with a parked run that a continue has claimed: in its turn, and as far as its answers reach."""
    try:
        if run.recorder is not None:
            watch(run)
        if run.turn is not None and not run.turn.held:
            await run.take_turn()
    except Exception as error:
        await give_back(run, error)
        return
    except anyio.get_cancelled_exc_class():  # its steps still wait, and shall hear of it
        run.cancel(CUT_OFF)
        _go_on(run)
        raise
    _go_on(run)


def _go_on(run: Execution) -> None:
    if run.happen(Happening.BEGIN) is REFUSE:
        return
    run.parking.limits.start()
    if not run.canceller.act_on_kept(run):
        _deliver_and_open(run)


async def give_back(run: Execution, error: Exception) -> None:
    """A continued run could not get its turn: it is paused again, or given up, so that it is recovered. Given up where the
    pause cannot be stored, and where it has answers that no step has used: its claim took the signal that tells of them,
    and nobody would continue it. Its caller gets ``error``."""
    steps_wait = run.life is Life.WAKING
    try:
        if not run.pauses.fresh:
            await store_pause(run)
    except Exception as failure:
        logger.warning("run %s could not be paused again: %s", run.id, failure)
    if run.output.is_paused and steps_wait:
        run.raised = error
        await _park(run)
        return
    if run.output.is_paused:
        run.happen(Happening.STORED)
    else:
        run.evict()
    run.raised = error
    run.end()
    unwatch(run)
