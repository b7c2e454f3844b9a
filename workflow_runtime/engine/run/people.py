"""The people of a run: the subscriber of its bus that keeps what is asked of them and takes their answers. (D8)

Messages are answers, too: to a step that waits for one (``inbox``).

A question is opened beside the event that tells of it, and stored with the next commit. Answers are stored before they are
signalled. A deadline is no signal: the Runtime continues a run whose deadline has passed, the answer that its policy gives
is stored, and signalled as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ...core.life import Happening, Life
from ..bus.pauses import Pauses, Requirement
from ..bus.signals import Answered, Arrived
from ..bus.step_events import question_withdrawn
from ..bus.stored import requirements_of
from ..people.inbox import Inbox
from . import pausing

if TYPE_CHECKING:
    from .execution import Execution

__all__ = ["People"]


class People:
    """The questions of one run, which most runs do not have."""

    __slots__ = ("_inbox", "_pauses")

    def __init__(self, pauses: Pauses | None) -> None:
        self._pauses = pauses
        self._inbox: Inbox | None = None

    @property
    def pauses(self) -> Pauses:
        if self._pauses is None:
            self._pauses = Pauses()
        return self._pauses

    @property
    def has_questions(self) -> bool:
        return self._pauses is not None and bool(self._pauses.by_id)

    @property
    def has_changes(self) -> bool:
        """Whether there are questions, or answers that were used, that are not stored yet."""
        return self._pauses is not None and bool(self._pauses.changed)

    def changes(self) -> list[Requirement]:
        """The questions and answers that are not stored yet, handed out once."""
        return self._pauses.take() if self._pauses is not None else []

    def open(self, run: Execution, requirement: Requirement) -> None:
        """Ask: the question is stored soon, also while other branches work."""
        self.pauses.add(requirement)
        if run.recorder is not None:
            run.recorder.flush_soon()

    def withdraw(self, run: Execution, path: str) -> None:
        """The branch at ``path`` ("" for the whole run) was given up: its open questions need no answer any more."""
        if not self.has_questions:
            return
        if self._inbox is not None:
            self._inbox.give_back(self.pauses, path)
        for item in self.pauses.withdraw(path, run.clock.time()):
            if path:  # the end of the run says it of all that is left
                run.bus.publish(question_withdrawn(run, item))

    def answered(self, run: Execution, signal: Answered) -> bool:
        """Take over the answers that are new here, and go as far as they reach. False when none is new."""
        new = self.pauses.absorb(signal.requirements)
        if new and run.happen(Happening.ANSWERED) is Life.RUNNING:
            pausing.deliver(run)
        return bool(new)

    async def read_answers(self, run: Execution) -> None:
        """Signal all answers that the database has, and take in all messages."""
        if run.recorder is not None:
            run.answered(await requirements_of(run.recorder.db, run.id))
            await self.inbox(run).read(run)
            self.take_messages(run)

    # -- messages ------------------------------------------------------------------------------------------------------

    def inbox(self, run: Execution) -> Inbox:
        if self._inbox is None:
            self._inbox = Inbox(run.id, run.journal, self.pauses)
        return self._inbox

    @property
    def messages_taken(self) -> int:
        """The number of the last message that is known here."""
        return self._inbox.seen if self._inbox is not None else 0

    def take_messages(self, run: Execution, *, early: bool = False) -> None:
        """Let the messages that are here answer the steps that wait for them, and keep the orders. ``early``: the run has
        not begun here."""
        if self._inbox is not None:
            self._inbox.take_in(self.pauses, run.clock.time())
            run.steering.take(run, self._inbox.orders(), early=early)

    def arrived(self, run: Execution, signal: Arrived) -> bool:
        """Keep the messages; a run that works on takes them in. While a pause is being stored they wait for what comes of
        it: of a run that is paused then, a continue reads them again."""
        if run.life in (Life.COMPENSATING, Life.ENDING, Life.ENDED, Life.GONE):
            return False
        self.inbox(run).keep(signal.messages)
        if run.happen(Happening.ANSWERED) is Life.RUNNING:
            pausing.deliver(run)
        elif run.life in (Life.WAITING, Life.WAKING):
            self.take_messages(run, early=run.life is Life.WAITING)
        return True

    handles: ClassVar[Mapping[type[Any], Callable[[Any, Execution, Any], Any]]] = {
        Answered: answered,
        Arrived: arrived,
    }
