"""The journal of a run: by stable path, the recorded outcome of each node. (D7)

To continue, retry, recover or fork a run is to walk the same tree with a journal that is not empty: a ``done`` path returns
its outcome and publishes nothing; an ``open`` one was entered before, and its decision (branch, choice, items) is kept. The
journal does not contain events, so ``events_to_skip`` cannot affect resuming.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ..model.step_io import StepOutput
from .state import Frozen

__all__ = [
    "BEGUN",
    "COMPENSATION",
    "DONE",
    "FAILURE",
    "GIVEN_UP",
    "INPUT",
    "MEMO",
    "OPEN",
    "VOID",
    "Journal",
    "Record",
    "within",
]

OPEN, DONE, MEMO = "open", "done", "memo"
VOID = "void"  # of a stored row: the record does not hold any more, as if it had never been
BEGUN = "!begun"  # suffix of a step's path: the memo that it has begun, of one that can be undone when it is cut off
COMPENSATION = "!compensate"  # the path of a compensation: its step's, this, and how many steps had completed before it
GIVEN_UP = "!given_up"  # suffix of a path ("" for the run): the memo that what is there is abandoned, and why
INPUT = "!input"  # suffix of the path of a step that a function called: the memo of its input
FAILURE = "!failure"  # suffix of a step's path: the memo of the exception of its last failed attempt


class Record(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One entry. ``decision`` is a container's decision on entry; ``value`` a memoised result (``once``, ``ask``), and
    ``changed`` the changes to the session state that belong to it (None removes a key). ``order``, of a completed step that
    has a compensation: how many such steps of this run had completed before it."""

    path: str
    position: int
    kind: str
    status: str = OPEN
    attempt: int = 1
    started_at: float | None = None
    finished_at: float | None = None
    decision: Any = None
    output: StepOutput | None = None
    value: Any = None
    changed: dict[str, Frozen | None] | None = None
    order: int | None = None


def within(path: str, outer: str) -> bool:
    """True when ``path`` is ``outer`` or lies below it."""
    return path == outer or path.startswith((outer + "/", outer + "#", outer + "!"))


class Journal:
    """Records by path, in the order of their first writes."""

    __slots__ = ("records", "replaying")

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.records: dict[str, Record] = {record.path: record for record in records}
        self.replaying = bool(self.records)

    def get(self, path: str) -> Record | None:
        record = self.records.get(path)
        return record if record is None or record.status != VOID else None

    def forget(self, path: str) -> list[Record]:
        """What is recorded inside of the container at ``path`` does not hold any more, but for what was undone of it. Where
        it is entered again, a record keeps its position."""
        found = [
            record
            for known, record in self.records.items()
            if known.startswith(f"{path}/") and COMPENSATION not in known and record.status != VOID
        ]
        for record in found:
            record.status, record.decision, record.output, record.value = VOID, None, None, None
            record.order = None
        return found

    def enter(self, path: str, kind: str, now: float, decision: Any = None, attempt: int | None = None) -> Record:
        """Note that the node was entered, in its attempt ``attempt`` (None: as it is known).

        Entering again keeps the first position and starting time.
        """
        record = self.records.get(path)
        if record is None:
            record = Record(path=path, position=len(self.records), kind=kind, started_at=now, decision=decision)
            self.records[path] = record
        else:
            record.status, record.decision = OPEN, decision
        if attempt is not None:
            record.attempt = attempt
        return record

    def leave(
        self, path: str, kind: str, output: StepOutput, started: float | None, now: float, attempt: int = 1
    ) -> Record:
        """Note the outcome of a node."""
        record = self.records.get(path)
        if record is None:
            record = Record(path=path, position=len(self.records), kind=kind, started_at=started)
            self.records[path] = record
        record.status, record.output, record.finished_at, record.attempt = DONE, output, now, attempt
        return record

    def memo(
        self,
        path: str,
        value: Any,
        now: float,
        kind: str = MEMO,
        changed: dict[str, Frozen | None] | None = None,
    ) -> Record:
        """Keep a value that must not be computed twice, and the state changes that were made with it."""
        record = Record(
            path=path,
            position=len(self.records),
            kind=kind,
            status=MEMO,
            started_at=now,
            finished_at=now,
            value=value,
            changed=changed,
        )
        self.records[path] = record
        return record

    def copy(self) -> Journal:
        return Journal(msgspec.structs.replace(record) for record in self.records.values())
