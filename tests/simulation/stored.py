"""Rules for what the database is told: checked before and after each of its calls, when alone the stored state changes."""

from __future__ import annotations

from typing import Any, NamedTuple

from workflow_runtime import RunStatus
from workflow_runtime.model import codec
from workflow_runtime.storage.base import RunRow

from .book import Book, Final, read
from .states import StateRules
from .world import SimProcess

__all__ = ["Before", "StoredRules"]

UNDER_WAY = (RunStatus.running, RunStatus.pending)


class Before(NamedTuple):
    """What was stored of the subject of a call before it."""

    run: RunRow | None = None
    state: dict[str, bytes] | None = None  # of the session that a commit changes
    runs: frozenset[str] = frozenset()  # all of them, before they are pruned


class StoredRules:
    """What a call of ``process`` changed, against the rules."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self.states = StateRules(book)
        self._released: set[str] = set()
        self._checked: dict[str, tuple[int, int]] = {}  # by run: the last number and epoch of the log so far

    def before(self, name: str, args: tuple[Any, ...]) -> Before:
        book = self._book
        if name == "commit":
            (batch,) = args
            session = batch.session and read(book.server.load_session(batch.session.session_id))
            run = book.stored(batch.run.run_id) if batch.run else None
            return Before(run, session.state if session else {})
        if name == "claim":
            return Before(book.stored(args[0]))
        if name == "prune":
            return Before(runs=frozenset(book.stored_ids()))
        return Before()

    def after(
        self,
        name: str,
        args: tuple[Any, ...],
        named: dict[str, Any],
        value: object,
        before: Before,
        process: SimProcess,
    ) -> None:
        """The call was done, and gave ``value``."""
        match name:
            case "commit":
                self._committed(args[0], before, process)
            case "claim" if value is not None:
                self._claimed(before.run, process)
            case "renew":
                self._released |= {fence.run_id for fence, lease in args[0] if lease <= 0}  # given up at once
            case "answer":
                self._answered(args[0])
            case "prune":
                self._pruned(before.runs, named["before"])

    # -- commits -------------------------------------------------------------------------------------------------------

    def _committed(self, batch: Any, before: Before, process: SimProcess) -> None:
        book, row, run = self._book, before.run, batch.run
        if row is not None and run is not None:
            if row.status.is_final and run.data != row.data:
                book.wrong("end-changed", run.run_id, row.status, "->", run.status, "by", process.name)
            if run.attempt < row.attempt:
                book.wrong("old-attempt-wrote", run.run_id, run.attempt, "over", row.attempt)
        starts_fork = batch.create and run is not None and run.forked_from is not None  # with the state of its place
        if batch.session is not None and "count" in batch.session.state and not starts_fork:
            self._check_count((before.state or {}).get("count"), batch.session.state["count"], process)
        self.states.committed(batch)
        if batch.events:
            self.check_log(batch.events[0].run_id)
        if run is not None and run.status.is_final and run.run_id not in book.finals:
            stored = book.stored(run.run_id)
            if stored is not None:
                book.finals[run.run_id] = Final(stored, book.events(run.run_id), book.requirements(run.run_id))

    def _check_count(self, before: bytes | None, after: bytes | None, process: SimProcess) -> None:
        """Each edit adds one to the counter, alone."""
        old = codec.decode_value(before) if before is not None else 0
        new = codec.decode_value(after) if after is not None else 0
        if new not in (old, old + 1):
            self._book.wrong("edit-taken-back", f"count {old} -> {new} by {process.name}")

    def check_log(self, run_id: str) -> None:
        """Numbers without a gap, epochs that do not fall, from where the last check ended."""
        last, epoch = self._checked.get(run_id, (0, 0))
        for row in self._book.events(run_id, last):
            if row.seq != last + 1:
                self._book.wrong("log-gap", run_id, f"{last} -> {row.seq}")
            if row.epoch < epoch:
                self._book.wrong("log-epoch", run_id, f"epoch {epoch} -> {row.epoch} at {row.seq}")
            last, epoch = row.last_seq, row.epoch
        self._checked[run_id] = (last, epoch)

    # -- claims --------------------------------------------------------------------------------------------------------

    def _claimed(self, row: RunRow | None, process: SimProcess) -> None:
        """A run is taken over only where its owner has died or slept, and by a process that has its workflow."""
        book = self._book
        if row is None:
            return
        homes = {workflow.id for workflow in process.things["workflows"].values()}
        if row.workflow_id not in homes:
            book.wrong("claimed-without-workflow", row.run_id, row.workflow_id, "by", process.name)
        if row.status not in UNDER_WAY:
            return
        book.recoveries[row.run_id] = book.recoveries.get(row.run_id, 0) + 1
        owner = next((other for other in book.world.processes if other.owner == row.owner), None)
        was_given_up = row.run_id in self._released or book.database_failed
        self._released.discard(row.run_id)
        if owner not in (None, process) and book.is_calm and not was_given_up:
            book.wrong("taken-from-the-living", row.run_id, "of", owner.name, "by", process.name)

    # -- questions and pruning -----------------------------------------------------------------------------------------

    def _answered(self, rows: Any) -> None:
        for row in rows:
            if not row.requirement_id.startswith(f"{row.run_id}:"):
                self._book.wrong("answer-in-another-run", row.requirement_id, "in", row.run_id)
            decoded = codec.decode_requirement(row.data)
            early = row.timeout_at is not None and row.answered_at is not None and row.answered_at < row.timeout_at
            if getattr(decoded, "timed_out", False) and early:
                self._book.wrong("deadline-too-early", row.requirement_id, row.answered_at, "before", row.timeout_at)

    def _pruned(self, before: frozenset[str], limit: float) -> None:
        """Only runs that have ended, are old, and are of the one workflow that has a retention."""
        book = self._book
        self.states.check()
        for run_id in sorted(before):
            if book.stored(run_id) is not None:
                continue
            final = book.finals.get(run_id)
            if final is None:
                book.wrong("pruned-a-live-run", run_id)
            elif final.row.workflow_id != "w":
                book.wrong("pruned-another-workflow", run_id, "of", final.row.workflow_id)
            elif final.row.updated_at >= limit:
                book.wrong("pruned-too-early", run_id, final.row.updated_at, "is not before", limit)
