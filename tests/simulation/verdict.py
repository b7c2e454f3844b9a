"""What must be true at the end of a case, by itself and beside its calm twin; and the whole check of a case."""

from __future__ import annotations

from dataclasses import dataclass

from workflow_runtime import RunStatus

from .book import Book, Broken, Reader
from .compare import compare
from .drawing import Case, leaves
from .people import FINAL
from .play import Play

__all__ = ["Verdict", "check"]


@dataclass(frozen=True)
class Verdict:
    """What a case showed. ``trace``: the hash of the log of it and of its twin."""

    case: Case
    trace: str
    callbacks: int
    seconds: float
    broken: list[Broken]
    log: list[str]


def check(case: Case) -> Verdict:
    """Play the case and its twin, and judge both."""
    twin = Play(case, calm=True)
    twin.run()
    _judge(twin)
    play = Play(case)
    play.run()
    _judge(play)
    compare(play, twin)
    broken = play.book.broken + [Broken(f"twin-{rule}", text) for rule, text in twin.book.broken]
    trace = f"{play.world.trace}{twin.world.trace}"
    return Verdict(case, trace, play.world.callbacks, play.world.now, broken, play.world.log)


def _judge(play: Play) -> None:
    book = play.book
    play.rules.states.check()
    for run_id in book.known_ids():
        _judge_run(play, run_id)
    for run_id, how in book.promised.items():
        if book.known(run_id) is None:
            book.wrong("promised-and-gone", run_id, how)
    for run_id, when in book.granted.items():
        row = book.known(run_id)
        if row is not None and row.status is RunStatus.completed:
            book.wrong("cancel-lost", run_id, f"granted at {when:.2f}, and COMPLETED")
    for run_id, status, seq in book.ends:
        row = book.known(run_id)
        if row is None or row.status is not status or row.seq != seq:
            book.wrong("seen-end-differs", run_id, status, seq, "stored:", row and (row.status, row.seq))
    for caller, process in book.callers.items():
        if not process.dead:
            book.wrong("caller-hangs", caller, "in", process.name)
    for reader in book.readers:
        _judge_reader(book, reader)
    for kind, text in play.world.errors:
        book.wrong(kind, text)
    _judge_entries(play)


def _judge_run(play: Play, run_id: str) -> None:
    book = play.book
    row, events = book.known(run_id), book.known_events(run_id)
    assert row is not None
    if not row.status.is_final:
        book.wrong("stuck", run_id, row.status, f"owner {row.owner} at {play.world.now:.0f} s")
        return
    if not events or FINAL.get(events[-1].kind) is not row.status:
        book.wrong("log-end", run_id, row.status, "but the log ends with", events[-1].kind if events else "nothing")
    elif sum(event.kind in FINAL and event.path == "" for event in events) != 1:
        book.wrong("two-ends", run_id)
    if events and events[-1].last_seq != row.seq:
        book.wrong("row-seq", run_id, row.seq, "but the log ends at", events[-1].last_seq)
    if play.case.get("undo"):
        _judge_undone(book, run_id, row.status, [(event.kind, event.path) for event in events])
    for question in book.requirements(run_id):
        if question.answered_at is None and question.withdrawn_at is None:
            book.wrong("question-left-open", question.requirement_id, "of a run that is", row.status)


def _judge_undone(book: Book, run_id: str, status: RunStatus, log: list[tuple[str, str]]) -> None:
    """What a run that failed or was cancelled had completed is compensated as its log says, in reverse order; of one that
    completed, only what was given up."""
    completed: list[str] = []
    order: list[str] | None = None
    for kind, path in log:
        if kind == "StepCompleted" and "leaf" in path.rpartition("/")[2]:
            if order is not None:
                book.wrong("ran-while-undone", run_id, path)
            completed.append(path)
        elif kind == "WorkflowCompensating" and not path:
            order = completed[::-1]
        elif kind in ("StepCompensated", "StepCompensationFailed"):
            if path not in completed:
                book.wrong("undone-without-reason", run_id, path)
            elif order is not None and path != order.pop(0):
                book.wrong("undone-out-of-order", run_id, path)
            else:
                completed.remove(path)
    if status is not RunStatus.completed and completed and not book.database_failed:
        book.wrong("not-undone", run_id, status, *completed)


def _judge_reader(book: Book, reader: Reader) -> None:
    """A reader that has seen the end has seen the log: of events that come again, the later epoch counts."""
    row = book.stored(reader.run_id)
    if row is None or "retention" in book.case:  # what it has not read in time may have been pruned
        return
    if not reader.done:
        if row.status.is_final:
            book.wrong("reader-hangs", reader.run_id, "after", reader.seen[-2:])
        return
    told: dict[int, tuple[int, str]] = {}
    for epoch, first, last, kind in reader.seen:
        if told and first > max(told) + 1:
            book.wrong("reader-gap", reader.run_id, f"{max(told)} -> {first}")
        for number in [number for number in told if number >= first]:
            del told[number]
        told.update(dict.fromkeys(range(first, last + 1), (epoch, kind)))
    log = {
        number: (event.epoch, event.kind)
        for event in book.events(reader.run_id)
        for number in range(event.seq, event.last_seq + 1)
    }
    for number in sorted({*told, *log}):
        if told.get(number) != log.get(number):
            book.wrong(
                "reader-differs", reader.run_id, f"at {number}: told {told.get(number)}, stored {log.get(number)}"
            )
            return


def _judge_entries(play: Play) -> None:
    """A step is entered once, and again for each answer to a question of its own and each take-over of its run; of N
    branches that ask and are answered one by one, each is entered twice at most."""
    guarded = {"confirm", "review"}
    if any(guarded & leaf.keys() or "fail" in leaf["acts"] for leaf in leaves(play.case["tree"])):
        return  # these have further reasons
    book = play.book
    for (run_id, path), attempts in book.entries.items():
        answers = sum(row.path == path and row.answered_at is not None for row in book.requirements(run_id))
        most = 1 + answers + book.recoveries.get(run_id, 0)
        if len(attempts) > most and book.stored(run_id) is not None:
            book.wrong("entered-too-often", run_id, path, f"in {len(attempts)} attempts, with {answers} answers")
