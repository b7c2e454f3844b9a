"""What must be true at the end of a case, by itself and beside its calm twin; and the whole check of a case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workflow_runtime import RunStatus, WorkflowRunOutput
from workflow_runtime.model import codec

from .book import Book, Broken, Reader, read
from .drawing import Case
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

    def broke(self, rule: str) -> Broken | None:
        return next((broken for broken in self.broken if broken.rule == rule), None)


def check(case: Case) -> Verdict:
    """Play the case and its twin, and judge both."""
    twin = Play(case, calm=True)
    twin.run()
    _judge(twin)
    play = Play(case)
    play.run()
    _judge(play)
    _compare(play, twin)
    broken = play.book.broken + [Broken(f"twin-{rule}", text) for rule, text in twin.book.broken]
    return Verdict(
        case, f"{play.world.trace}{twin.world.trace}", play.world.callbacks, play.world.now, broken, play.world.log
    )


def _judge(play: Play) -> None:
    book = play.book
    for run_id in book.run_ids():
        if book.stored(run_id) is not None:
            _judge_run(book, run_id, play.world.now)
    for run_id, how in book.promised.items():
        if book.stored(run_id) is None:
            book.wrong("promised-and-gone", run_id, how)
    for run_id, when in book.granted.items():
        row = book.stored(run_id)
        if row is not None and row.status is RunStatus.completed:
            book.wrong("cancel-lost", run_id, f"granted at {when:.2f}, and COMPLETED")
    for run_id, status, seq in book.ends:
        row = book.stored(run_id)
        if row is None or row.status is not status or row.seq != seq:
            book.wrong("seen-end-differs", run_id, status, seq, "stored:", row and (row.status, row.seq))
    for run_id, process in book.callers.items():
        if not process.dead:
            book.wrong("caller-hangs", run_id, "in", process.name)
    for reader in book.readers:
        _judge_reader(book, reader)
    for kind, text in play.world.errors:
        book.wrong(kind, text)


def _judge_run(book: Book, run_id: str, now: float) -> None:
    row, events = book.stored(run_id), book.events(run_id)
    assert row is not None
    book.check_log(run_id)
    if not row.status.is_final:
        book.wrong("stuck", run_id, row.status, f"owner {row.owner} at {now:.0f} s")
        return
    if not events or FINAL.get(events[-1].kind) is not row.status:
        book.wrong("log-end", run_id, row.status, "but the log ends with", events[-1].kind if events else "nothing")
    elif sum(event.kind in FINAL and event.path == "" for event in events) != 1:
        book.wrong("two-ends", run_id)
    if events and events[-1].last_seq != row.seq:
        book.wrong("row-seq", run_id, row.seq, "but the log ends at", events[-1].last_seq)


def _judge_reader(book: Book, reader: Reader) -> None:
    """A reader that has seen the end has seen the log: of events that come again, the later epoch counts."""
    row = book.stored(reader.run_id)
    if row is None:
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


# -- beside the twin -----------------------------------------------------------------------------------------------------


def _outputs(play: Play) -> dict[str, WorkflowRunOutput]:
    found = {}
    for run_id in play.book.run_ids():
        row = play.book.stored(run_id)
        if row is not None:
            found[run_id] = codec.decode_run(row.data)
    return found


def _results(output: WorkflowRunOutput) -> list[Any]:
    return [(step.step_name, str(step.content), step.success) for top in output.step_results for step in top.walk()]


def _compare(play: Play, twin: Play) -> None:
    book, case = play.book, play.case
    right = _outputs(twin)
    for run_id, output in _outputs(play).items():
        original = run_id if run_id.startswith("run") else "run" + run_id[4:].split("x")[0]
        wanted = right.get(original)
        if wanted is None:
            continue
        match output.status, wanted.status:
            case RunStatus.completed, RunStatus.completed:
                _compare_outputs(book, run_id, output, wanted)
            case RunStatus.error, status if status is not RunStatus.error and not book.database_failed:
                book.wrong("error", run_id, output.error)
            case RunStatus.cancelled, status if status is not RunStatus.cancelled:
                if run_id not in book.cancel_asked and not book.caller_left:
                    book.wrong("cancelled-by-nobody", run_id, output.content)
        if output.status is RunStatus.completed and run_id.startswith("run"):
            session_id, own = play.session_id(int(run_id[3:])), f"r{run_id[3:]}/"
            has, should = _state(play, session_id, own), _state(twin, session_id, own)
            if has != should:
                keys = [key for key in {**has, **should} if has.get(key) != should.get(key)]
                book.wrong("state", run_id, {key: (has.get(key), should.get(key)) for key in keys}, case["policy"])


def _compare_outputs(book: Book, run_id: str, output: WorkflowRunOutput, wanted: WorkflowRunOutput) -> None:
    if output.content != wanted.content:
        book.wrong("content", run_id, output.content, "instead of", wanted.content)
        return
    has, should = _results(output), _results(wanted)
    if has != should:
        different = [pair for pair in zip(has, should, strict=False) if pair[0] != pair[1]]
        book.wrong("results", run_id, different[:2], len(has), "instead of", len(should))


def _state(play: Play, session_id: str, prefix: str) -> dict[str, object]:
    session = read(play.server.load_session(session_id))
    stored = session.state if session is not None else {}
    return {key: codec.decode_value(value) for key, value in stored.items() if key.startswith(prefix)}
