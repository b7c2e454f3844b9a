"""Taking queued runs: asks the database for the next one whenever there is a slot and a reason to ask.

Who decides is the database: ``claim_next`` gives each queued run to one caller. A hint of the broker is a reason to ask; so
is that some seconds have passed, for a hint may be lost, and a run may have waited for its time.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import anyio

from ...brokers.base import Broker, Hint, Hints
from ...core.life import Life
from ...core.lifecycle import is_end
from ...model.errors import BrokerError, StorageError
from ...model.events import Event
from ...storage.base import BaseDb, Fence, RunRow
from ..loop.loops import spawn
from ..loop.process import current
from ..run.execution import Execution
from ..run.host import start_hosted
from .queued import DEFAULT_QUEUE, begin_queued, offer
from .recovery import Home, is_away

__all__ = ["Dispatcher", "Slots"]

logger = logging.getLogger("workflow_runtime")
SWEEP = 1.0  # seconds between two looks without a hint
_AGAIN = 0.05  # seconds between two looks at the slots while all are taken
_MOST_TRIES = 5  # claims of a run that could not be begun, before it is parked
_LONGEST = 60.0  # seconds until such a run is tried again


class Slots:
    """How many runs may work here at once. One that sleeps, waits for a person or for its turn holds no slot."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._starting = 0
        self._held: list[_Slot] = []
        self._changed = anyio.Event()

    @property
    def used(self) -> int:
        self._held = [slot for slot in self._held if not slot.run.ended]
        return self._starting + sum(slot.works for slot in self._held)

    @property
    def free(self) -> int:
        return max(0, self.most - self.used)

    def reserve(self) -> None:
        """For a run that is being claimed and begun."""
        self._starting += 1

    def release(self) -> None:
        self._starting -= 1
        self.wake()

    def take(self, run: Execution) -> None:
        """Turn a reservation into the run's slot."""
        self._starting -= 1
        slot = _Slot(run, self.wake)
        run.observe(slot.saw)
        self._held.append(slot)

    def wake(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def wait_free(self) -> None:
        while not self.free:
            with anyio.move_on_after(_AGAIN):
                await self._changed.wait()

    async def wait_begun(self) -> None:
        """Until no run is between its claim and its first step."""
        while self._starting:
            await self._changed.wait()


class _Slot:
    __slots__ = ("_over", "_wake", "run")

    def __init__(self, run: Execution, wake: Callable[[], None]) -> None:
        self.run = run
        self._wake = wake
        self._over = False

    def saw(self, event: Event) -> None:
        if event.nested_depth == 0 and is_end(event):
            self._over = True
            self._wake()
        elif self._over:
            self._over = False  # it goes on after a pause

    @property
    def works(self) -> bool:
        run = self.run
        waits_for_turn = run.life is Life.WAITING and run.definition.session_policy != "merge"
        return not (self._over or run.ended or run.waits or waits_for_turn)


class Dispatcher:
    """Takes the queued runs of the workflows of one database and one broker.

    Args:
        homes: The workflows by id, as they are when a run is to be begun.
        taken: Gets the ids of runs that were begun here; ``parked`` those that were parked.
        look_for_ready: Continues paused runs that were answered. A hint without a queued run is of such a one.
    """

    def __init__(
        self,
        db: BaseDb,
        broker: Broker,
        queues: Sequence[str],
        slots: Slots,
        homes: Callable[[], dict[str, Home]],
        taken: Callable[[str], None],
        parked: Callable[[str], None],
        look_for_ready: Callable[[], Awaitable[None]],
    ) -> None:
        self._db = db
        self._broker = broker
        self._queues = tuple(queues)
        self._slots = slots
        self._homes = homes
        self._taken = taken
        self._parked = parked
        self._look_for_ready = look_for_ready
        self._next_sweep = -math.inf
        self._scope = anyio.CancelScope()
        self._left = anyio.Event()

    def start(self) -> None:
        """Take runs from now on, in a task of its own."""
        spawn(self._work, "workflow_runtime queued runs", self._left.set)

    async def stop(self) -> None:
        """Take no more. What was claimed is begun all the same."""
        self._scope.cancel()
        await self._left.wait()

    async def _work(self) -> None:
        try:
            with self._scope:
                await self._take_runs()
        finally:
            self._left.set()

    async def _take_runs(self) -> None:
        """A database or a broker that is away is logged, and tried again."""
        hints: Hints | None = None
        try:
            while True:
                try:
                    if hints is None:
                        hints = await self._broker.hints(self._queues, sorted(self._homes()))
                    await self._slots.wait_free()
                    await self._look(hints)
                except (BrokerError, StorageError) as error:
                    logger.warning("queued runs could not be looked for: %s", error)
                    if hints is not None and isinstance(error, BrokerError):
                        await _closed(hints)
                        hints = None
                    await self._without_broker()
        finally:
            await _closed(hints)

    async def _without_broker(self) -> None:
        """The runs are in the database: take them from there."""
        await anyio.sleep(SWEEP)
        try:
            await self._claim(None)
        except StorageError as error:
            logger.warning("queued runs could not be looked for: %s", error)

    async def _look(self, hints: Hints) -> None:
        left = self._next_sweep - anyio.current_time()
        hint: Hint | None = await hints.next(left) if left > 0 else None
        if hint is None:
            self._next_sweep = anyio.current_time() + SWEEP
            await self._claim(None)
            return
        if not await self._claim(hint.runs):
            await self._look_for_ready()
        await hint.done()

    async def _claim(self, most: int | None) -> int:
        """Claim and begin at most ``most`` runs (None: while there are any), as far as there are slots; how many."""
        count = 0
        while (most is None or count < most) and self._slots.free:
            self._slots.reserve()
            try:
                homes = self._homes()
                row = await self._claim_one(homes)
            except BaseException:
                self._slots.release()
                raise
            if row is None:
                self._slots.release()
                break
            count += 1
            home = homes[row.workflow_id or ""]
            spawn(partial(self._begin, home, row), f"begin {row.run_id}", self._slots.release)
        return count

    async def _claim_one(self, homes: dict[str, Home]) -> RunRow | None:
        if not homes:
            return None
        definitions = [home.definition for home in homes.values()]
        now, lease = definitions[0].clock.time(), max(definition.lease for definition in definitions)
        row: RunRow | None = None
        # Not cut off in between: a run that was claimed and is not begun would wait for its lease to run out.
        with anyio.CancelScope(shield=True):
            row = await self._db.claim_next(
                self._queues, workflows=sorted(homes), owner=current().owner, now=now, lease=lease
            )
        return row

    async def _begin(self, home: Home, row: RunRow) -> None:
        try:
            run = await begin_queued(home.definition, row, store_events=home.store_events, skip=home.skip)
        except Exception as error:
            self._slots.release()
            await self._give_back(home, row, error)
            return
        except BaseException:
            self._slots.release()
            raise
        self._slots.take(run)
        self._taken(run.id)
        if row.lane is not None and home.definition.broker is not None:
            run.observe(partial(self._offer_next, home, row, run))

        async def same() -> Execution:
            return run

        await start_hosted(same)
        self._slots.wake()

    def _offer_next(self, home: Home, row: RunRow, run: Execution, event: Event) -> None:
        """The end, or the pause, of a run with limits lets another of its keys begin: wake a worker once it is stored."""
        if event.nested_depth != 0 or not is_end(event):
            return

        async def wake() -> None:
            await run.wait_ended()
            await offer(home.definition, row.run_id, row.queue or DEFAULT_QUEUE)

        spawn(wake, f"offer after {row.run_id}")

    async def _give_back(self, home: Home, row: RunRow, error: Exception) -> None:
        """The run could not be begun here: another process may, or this one later. After some tries it is parked."""
        fence = Fence(run_id=row.run_id, attempt=row.attempt, owner=row.owner)
        parks = not is_away(error) and row.attempt >= _MOST_TRIES
        pause = min(_LONGEST, 2.0 ** (row.attempt - 1))
        try:
            await self._db.put_back(fence, not_before=math.inf if parks else home.definition.clock.time() + pause)
        except StorageError as refused:
            logger.error("run %s could not be put back: %s", row.run_id, refused)
            return
        if parks:
            self._parked(row.run_id)
            logger.error(
                "run %s was parked after %d tries: %s; put that right, then: wfr queue requeue %s",
                row.run_id,
                row.attempt,
                error,
                row.run_id,
            )
        else:
            logger.warning("run %s could not be begun and was put back for %.0f s: %s", row.run_id, pause, error)


async def _closed(hints: Hints | None) -> None:
    if hints is not None:
        with anyio.move_on_after(5.0, shield=True):
            await hints.aclose()
