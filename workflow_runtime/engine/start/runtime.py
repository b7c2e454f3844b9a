"""Runtime: what a service holds open around its runs. It recovers, fires deadlines, prunes, and drains at the end."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.lowlevel
import msgspec

from ...core.filters import skip_sieve
from ...model import checks
from ...model.errors import BuildError, PlanChanged, RunNotFound, SessionBusy, StorageError
from ...model.retention import Retention
from ...storage.base import BaseDb, RunRow
from ..loop.clock import SystemClock
from ..loop.loops import spawn
from ..loop.stalls import Stall, watch_loop
from ..run.execution import Execution
from ..run.host import live_runs
from ..run.request import Definition
from ..run.run_group import RunGroup
from .delivering import Delivering
from .handed_over import continues_here
from .queue_work import QueueWork, named_queues
from .recovery import Home, Recovery, is_away, ready_runs
from .resume import end_cancelled
from .scheduling import fire_due
from .upkeep import Backoff, Pruning

__all__ = ["Runtime", "RuntimeReport"]

logger = logging.getLogger("workflow_runtime")


class RuntimeReport(msgspec.Struct, kw_only=True):
    """What a Runtime did: ids of runs that it recovered, left alone (``unknown``: their workflow is not here), saw end while
    draining, and cancelled; how many rows it pruned; deadlines that it fired; the last 100 times that the event loop stood
    still; queued runs that it began (the last 1,000), and those that were parked since they could not be begun; runs of
    schedules that it queued (the last 1,000)."""

    recovered: list[str] = msgspec.field(default_factory=list)
    unknown: list[str] = msgspec.field(default_factory=list)
    deadlines: list[str] = msgspec.field(default_factory=list)
    drained: list[str] = msgspec.field(default_factory=list)
    cancelled: list[str] = msgspec.field(default_factory=list)
    released: list[str] = msgspec.field(default_factory=list)
    taken: list[str] = msgspec.field(default_factory=list)
    taken_total: int = 0
    parked: list[str] = msgspec.field(default_factory=list)
    scheduled: list[str] = msgspec.field(default_factory=list)
    pruned: int = 0
    stalls: list[Stall] = msgspec.field(default_factory=list)


class Runtime:
    """``async with Runtime(workflow, ...)``: owns the background runs of this event loop, in one task group.

    Args:
        *workflows: Those whose runs it recovers and whose deadlines it fires.
        grace: Seconds that running background runs get to end when it is left.
        recover: Take over interrupted runs, at the start and again every ``interval``; at most a hundred before it is
            entered, the others while it lives.
        retention: What to prune of these workflows' runs, in small slices, as often as it is due; None: as each workflow
            says. A run from which a stored one was forked is kept.
        on_exit: What happens to runs that are still going after ``grace``: "cancel" them, or "release" them, so that the
            next process goes on with them at once.
        interval: Seconds between two rounds of its work.
        stall_after: Seconds that this event loop may stand still before the step that holds it up is reported, in the log
            and as ``report.stalls``; None does not look.
        max_recoveries: How often a run is recovered whose process dies while the same step is executing; then it is put
            aside as ERROR. None: as each workflow says.
        recover_at_once: How many of the runs that it has recovered may work at the same time; those that sleep, or wait for
            a person or their turn, do not count. None: any number.
        queues: The queues whose runs it takes; of several the first that has one goes first. None: "default" of workflows
            without a broker, whose queued runs are for the processes that share their database. Runs of the others are for
            workers: without ``queues`` they are not taken, recovered or continued here.
        concurrency: How many runs that it has taken from queues may work at the same time.
    """

    def __init__(
        self,
        *workflows: Any,
        grace: float = 10.0,
        recover: bool = True,
        retention: Retention | None = None,
        on_exit: str = "cancel",
        interval: float = 1.0,
        stall_after: float | None = 0.25,
        max_recoveries: int | None = None,
        recover_at_once: int | None = 100,
        queues: Sequence[str] | None = None,
        concurrency: int = 50,
    ) -> None:
        where = "Runtime: "
        for workflow in workflows:
            if not callable(getattr(workflow, "definition", None)):
                several = isinstance(workflow, (list, tuple))
                raise BuildError(
                    f"{where}{workflow!r} is no Workflow; "
                    + ("write Runtime(*workflows)" if several else "give the workflows whose runs it looks after")
                )
        if retention is not None and not isinstance(retention, Retention):
            raise BuildError(f"{where}retention={retention!r} must be a Retention; write Retention(runs=...)")
        self.workflows = list(workflows)
        self.grace = checks.seconds(grace, "grace", where, zero=True, none=None)
        self.recover = checks.flag(recover, "recover", where)
        self.retention = retention
        self.on_exit = checks.one_of(on_exit, "on_exit", ("cancel", "release"), where)
        self.interval = checks.seconds(interval, "interval", where, none=None)
        self.stall_after = checks.seconds(stall_after, "stall_after", where, none="do not look")
        self.max_recoveries = checks.number(
            max_recoveries, "max_recoveries", where, least=0, whole=True, none="as each workflow says"
        )
        self.recover_at_once = checks.number(
            recover_at_once, "recover_at_once", where, least=1, whole=True, none="any number"
        )
        self.queues = named_queues(queues, where)
        self.concurrency: int = checks.number(concurrency, "concurrency", where, least=1, whole=True)
        self._queue_work: QueueWork | None = None
        self._release: Callable[[], None] | None = None
        self.report = RuntimeReport()
        self._recoveries: dict[int, Recovery] = {}
        self._backoff = Backoff()
        self._pruning = Pruning(retention)
        self._more = False
        self._stopping: anyio.Event | None = None
        self._stopped: anyio.Event | None = None
        self._runs: RunGroup | None = None
        self._webhooks: Delivering | None = None
        self._delivered: anyio.Event | None = None
        self._delivering: anyio.CancelScope | None = None

    async def __aenter__(self) -> Self:
        self.report = RuntimeReport()
        self._recoveries, self._backoff, self._pruning = {}, Backoff(), Pruning(self.retention)
        self._stopping, self._stopped = anyio.Event(), anyio.Event()
        for db in self._databases():
            await db.open()
        if self.stall_after is not None:
            self._release = watch_loop(self.stall_after, self._stalled)
        self._runs = runs = RunGroup()
        await runs.open()
        try:
            self._more = await self._round()
        except BaseException:
            runs.close()  # what was recovered so far goes on by itself
            raise
        spawn(self._serve, "workflow_runtime Runtime")
        self._queue_work = QueueWork(
            self.workflows, self._definition, self.queues, self.concurrency, self.report, self._go_on_with_ready
        )
        await self._queue_work.start()
        delivering = Delivering(self.workflows, self.interval)
        if delivering.has_work:
            self._webhooks, self._delivered = delivering, anyio.Event()
            spawn(partial(self._deliver, delivering), "workflow_runtime webhooks")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._stopping is not None
        assert self._stopped is not None
        mine = _background(set())
        with anyio.CancelScope(shield=True):
            self._stopping.set()
            if self._queue_work is not None:
                await self._queue_work.stop()
            await self._stopped.wait()
            await self._drain(mine)
            await self._leave()
            if self._delivered is not None and self._webhooks is not None:
                self._webhooks.stop()
                with anyio.move_on_after(self.grace):
                    await self._delivered.wait()
                if self._delivering is not None:
                    self._delivering.cancel()
                await self._delivered.wait()
            if self._queue_work is not None:
                await self._queue_work.close()
        if self._release is not None:
            self._release()
        logger.info("Runtime ended: %s", self.report)

    @property
    def slots_used(self) -> int:
        """How many of the runs that it has taken from queues work now."""
        return self._queue_work.slots.used if self._queue_work is not None else 0

    def lifespan(self, app: Any = None) -> AbstractAsyncContextManager[dict[str, Any]]:
        """For Starlette and FastAPI: ``FastAPI(lifespan=Runtime(wf).lifespan)``."""

        @asynccontextmanager
        async def span() -> AsyncIterator[dict[str, Any]]:
            async with self:
                yield {"runtime": self}

        return span()

    async def _deliver(self, delivering: Delivering) -> None:
        """Send events to webhooks. What is not sent when the Runtime is left, is sent by the next one."""
        assert self._delivered is not None
        try:
            with anyio.CancelScope() as self._delivering:
                await delivering.serve()
        finally:
            self._delivered.set()

    def _stalled(self, stall: Stall) -> None:
        self.report.stalls = [*self.report.stalls[-99:], stall]

    # -- while it lives ------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        assert self._stopping is not None
        assert self._stopped is not None
        try:
            while not self._stopping.is_set():
                if self._more:
                    await anyio.lowlevel.checkpoint()
                else:
                    await self._pause(self._stopping)
                if not self._stopping.is_set():
                    self._more = await self._round()
        except anyio.get_cancelled_exc_class():  # the event loop ends while the Runtime is open
            if self._runs is not None:
                self._runs.cancel()
            raise
        finally:
            self._stopped.set()

    async def _pause(self, stopping: anyio.Event) -> None:
        """Until the next round or the end. By the workflows' clock, which in a test is one that the test moves."""
        clock = self.workflows[0].clock if self.workflows else SystemClock()
        async with anyio.create_task_group() as tasks:

            async def end() -> None:
                await stopping.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(end)
            await clock.sleep(self.interval)
            tasks.cancel_scope.cancel()

    async def _round(self) -> bool:
        """One look at what is due; True where more is due at once. A database that is away is a warning; the next round
        tries again."""
        more = False
        try:
            if self.recover:
                more = await self._recover()
            await self._go_on_with_ready()
            await self._fire_deadlines()
            await self._fire_schedules()
            self.report.pruned += await self._pruning.prune(self.workflows, self.interval)
        except StorageError as error:
            logger.warning("Runtime: the database could not be reached: %s", error)
            return False
        return more

    def _databases(self) -> list[BaseDb]:
        found: list[BaseDb] = []
        for workflow in self.workflows:
            if workflow.db is not None and not any(workflow.db is db for db in found):
                found.append(workflow.db)
        return found

    def _served(self) -> list[Any]:
        """The workflows whose runs belong here. With a broker, they belong to processes that take its queues."""
        return [workflow for workflow in self.workflows if self._serves(workflow)]

    def _serves(self, workflow: Any) -> bool:
        return workflow.broker is None or bool(self.queues)

    async def _recover(self) -> bool:
        more = False
        for db in self._databases():
            recovery = self._recoveries.setdefault(id(db), Recovery(db, self.recover_at_once))
            homes = {
                workflow.id: Home(
                    self._definition(workflow),
                    workflow.store_events,
                    skip_sieve(workflow.events_to_skip),
                    serves=self._serves(workflow),
                )
                for workflow in self.workflows
                if workflow.db is db
            }
            more |= await recovery.look(homes, self.report.recovered, self.report.unknown)
        return more

    def _definition(self, workflow: Any) -> Definition:
        found: Definition = workflow.definition()
        if self.max_recoveries is None:
            return found
        return msgspec.structs.replace(found, max_recoveries=self.max_recoveries)

    async def _go_on_with_ready(self) -> None:
        """Paused runs whose answers, or whose cancel, were stored by a process that did not get any further."""
        for workflow in self._served():
            for row in await ready_runs(workflow.db, workflow.id) if workflow.db is not None else ():
                await self._continue(workflow, row.run_id, row if row.cancel_requested else None)

    async def _continue(self, workflow: Any, run_id: str, to_cancel: RunRow | None = None) -> bool:
        """Continue the run, or end it as cancelled. One that cannot be continued is tried again later and later."""
        if not self._backoff.is_due(run_id):
            return False
        try:
            if to_cancel is None:
                with continues_here():
                    continuing = workflow.acontinue_run(run_id=run_id, step_requirements=[], background=True)
                await continuing
            else:
                skip = skip_sieve(workflow.events_to_skip)
                await end_cancelled(workflow.definition(), to_cancel, store_events=workflow.store_events, skip=skip)
        except Exception as error:
            if is_away(error):
                raise
            if isinstance(error, SessionBusy) or (
                isinstance(error, ValueError) and not isinstance(error, (PlanChanged, RunNotFound))
            ):
                # Somebody answered, or continued it, in this moment; or its session is busy until a later round.
                logger.debug("run %s was not continued: %s", run_id, error)
                return False
            if self._backoff.failed(run_id):
                logger.error("run %s could not be continued: %s", run_id, error)
            return False
        self._backoff.succeeded(run_id)
        return True

    async def _fire_schedules(self) -> None:
        for workflow in self._served():
            if workflow.db is not None:
                self.report.scheduled += await fire_due(workflow, self._backoff)
        del self.report.scheduled[:-1_000]

    async def _fire_deadlines(self) -> None:
        for workflow in self._served():
            if workflow.db is None:
                continue
            fired: set[str] = set()
            after: tuple[float, str] | None = None
            now = workflow.clock.time()
            while page := await workflow.db.list_requirements(workflow_id=workflow.id, due_before=now, after=after):
                for run_id in dict.fromkeys(row.run_id for row in page if row.run_id not in fired):
                    fired.add(run_id)
                    if await self._continue(workflow, run_id):
                        self.report.deadlines.append(run_id)
                after = page[-1].created_at, page[-1].requirement_id

    # -- at the end ----------------------------------------------------------------------------------------------------

    async def _drain(self, mine: list[Execution]) -> None:
        """End the runs of this loop's background. Calls that are under way may start or continue more of them meanwhile."""
        seen: set[tuple[Execution, int]] = set()  # a run that is continued is another one to end, of the next epoch
        with anyio.move_on_after(self.grace):
            while mine:
                for run in mine:
                    epoch = run.epoch
                    await run.wait_ended()
                    seen.add((run, epoch))
                    self.report.drained.append(run.id)
                mine = _background(seen)
        while mine := _background(seen):
            for run in mine:
                seen.add((run, run.epoch))
                await self._end(run)

    async def _leave(self) -> None:
        """Leave the task group of the background runs. Parked ones are let go: a continue walks their tree again."""
        assert self._runs is not None
        self._runs.close()
        for run in list(self._runs.runs):
            if run.parked:
                run.evict()
            elif not run.ended:  # a continue woke it after it had paused
                await self._end(run)
        await self._runs.wait_left()

    async def _end(self, run: Execution) -> None:
        if run.ended:
            self.report.drained.append(run.id)
        elif self.on_exit == "release" and run.recorder is not None:
            await run.release()
            self.report.released.append(run.id)
        else:
            await _cancel(run)
            self.report.cancelled.append(run.id)


def _background(seen: set[tuple[Execution, int]]) -> list[Execution]:
    mine = [run for run in live_runs() if run.request.background and run.loop.is_here()]
    return [run for run in mine if (run, run.epoch) not in seen]


async def _cancel(run: Execution) -> None:
    run.cancel("the service was shut down")
    await run.wait_ended()
