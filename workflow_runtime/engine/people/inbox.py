"""The inbox of a run: the messages that were sent to it, and which of its steps receives which. (D8)

A message is stored before the run hears of it, and is never deleted before the run is. What a step received is in the
journal, so the inbox of a run that is continued knows what is left. A step that waits has an open requirement of the kind
"receive"; the first message of its topic answers it. Messages of a topic are received in the order of their numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ...core.journal import Journal, within
from ...model import codec
from ...model.requirements import StepRequirement
from ...storage import rules
from ...storage.base import ORDERS, MessageRow, Sent
from ..bus.pauses import Pauses, Requirement

if TYPE_CHECKING:
    from ..run.execution import Execution

__all__ = ["RECEIVED", "Inbox", "waits_in"]

RECEIVED = "received"
"""The kind of the journal's records of messages that a step received."""


def waits_in(requirements: Iterable[Requirement]) -> list[StepRequirement]:
    """Those that wait for a message."""
    return [item for item in requirements if isinstance(item, StepRequirement) and item.kind == "receive"]


class Inbox:
    """The messages of one run. ``seen`` is the number of the last one that was taken in."""

    __slots__ = ("_coming", "_given", "_left", "_orders", "_received", "_run_id", "_unstored", "seen")

    def __init__(self, run_id: str, journal: Journal, pauses: Pauses) -> None:
        self._run_id = run_id
        self.seen = 0
        self._coming: list[MessageRow] = []  # heard of, and not taken in
        self._orders: list[MessageRow] = []
        self._left: dict[int, MessageRow] = {}  # by number, received by no step
        self._given: dict[str, MessageRow] = {}  # by id, to steps that have not gone on yet
        self._received: set[str] = set(_received(run_id, journal, pauses))
        self._unstored: dict[str, MessageRow] = {}  # by id, of a run that no database keeps

    # -- taking in -----------------------------------------------------------------------------------------------------

    def keep(self, rows: Sequence[MessageRow]) -> None:
        """Remember messages until they can be taken in."""
        self._coming += rows

    async def read(self, run: Execution) -> None:
        """Keep what the database has for the run by now."""
        if run.recorder is not None and run.recorder.created:
            self.keep(await run.recorder.db.load_messages(run.id, after=self.seen))

    def take_in(self, pauses: Pauses, now: float) -> None:
        """Let the messages that came answer the open waits; the others are left for later ones."""
        coming, self._coming = self._coming, []
        for row in sorted(coming, key=lambda row: row.number):
            if row.number > self.seen:
                self.seen = row.number
                if row.topic == ORDERS:
                    self._orders.append(row)
                elif row.message_id not in self._received:
                    self._left[row.number] = row
        if self._left:
            for wait in waits_in(pauses.open):
                given = self.take(wait.topic or "")
                if given is not None:
                    self._given[given.message_id] = given
                    value = {"value": value_of(given)}
                    pauses.answer(
                        msgspec.structs.replace(wait, user_input=value, message_id=given.message_id, answered_at=now)
                    )

    def orders(self) -> list[MessageRow]:
        """The orders to steps that were taken in, handed out once."""
        orders, self._orders = self._orders, []
        return orders

    # -- handing out ---------------------------------------------------------------------------------------------------

    def take(self, topic: str) -> MessageRow | None:
        """The first message of ``topic`` that is left, handed out once."""
        for number, row in self._left.items():
            if row.topic == topic:
                del self._left[number]
                self._received.add(row.message_id)
                return row
        return None

    def take_all(self, topic: str) -> list[MessageRow]:
        """All messages of ``topic`` that are left, in their order."""
        found: list[MessageRow] = []
        while (row := self.take(topic)) is not None:
            found.append(row)
        return found

    def give_back(self, pauses: Pauses, path: str) -> None:
        """The branch at ``path`` was given up: what it was to receive, and has not, is left for others."""
        back = {item.message_id for item in waits_in(pauses.unused()) if not path or within(item.path, path)}
        for message_id in back - {None}:
            assert message_id is not None
            self._received.discard(message_id)
            row = self._given.pop(message_id, None)
            if row is None:  # another process gave it: it is read again, at the latest before the run pauses
                self.seen = 0
            else:
                self._left = dict(sorted({**self._left, row.number: row}.items()))

    # -- a run that no database keeps ----------------------------------------------------------------------------------

    def send(self, row: MessageRow, run: Execution) -> Sent:
        """As ``BaseDb.send``."""
        awaited = any(wait.topic == row.topic for wait in waits_in(run.pauses.open)) if run.has_questions else False
        stored = self._unstored.get(row.message_id)
        if not rules.check_message(row, status=run.output.status, stored=stored, awaited=awaited):
            assert stored is not None
            return Sent(number=stored.number, created_at=stored.created_at, repeated=True)
        row.number = len(self._unstored) + 1
        self._unstored[row.message_id] = row
        return Sent(number=row.number, created_at=row.created_at, awaited=awaited)


def value_of(row: MessageRow) -> Any:
    return codec.decode_value(row.data, f"message {row.message_id}", row.run_id)


def _received(run_id: str, journal: Journal, pauses: Pauses) -> Iterable[str]:
    """The ids of this run's messages that its steps have received; a fork has those of another run in its journal, too."""
    for record in journal.records.values():
        if record.kind == RECEIVED and isinstance(record.value, dict) and record.value.get("run") == run_id:
            yield from record.value["ids"]
    for wait in waits_in(pauses.by_id.values()):
        if wait.message_id is not None and wait.answered_at is not None and wait.withdrawn_at is None:
            yield wait.message_id
