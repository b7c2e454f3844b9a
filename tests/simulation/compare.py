"""The oracle: a run that completes has the output and the state that it has in the calm twin, and a run that ends otherwise
has a reason for it."""

from __future__ import annotations

from typing import Any

from workflow_runtime import RunStatus, WorkflowRunOutput
from workflow_runtime.model import codec

from .book import Book, read
from .drawing import NodeData
from .play import Play
from .world import Boom

__all__ = ["compare"]


def compare(play: Play, twin: Play) -> None:
    book = play.book
    right = _outputs(twin.book)
    for run_id, output in _outputs(book).items():
        wanted = right.get(_original(run_id))
        if wanted is None:
            continue
        if output.status is RunStatus.error and wanted.status is not RunStatus.error:
            if not _may_fail(play, output):
                book.wrong("error", run_id, output.error)
        elif output.status is RunStatus.cancelled and wanted.status is not RunStatus.cancelled:
            if not _may_be_cancelled(play, run_id):
                book.wrong("cancelled-by-nobody", run_id, output.content)
        elif output.status is wanted.status is RunStatus.completed and not _may_differ(play, run_id):
            _compare_outputs(book, run_id, output, wanted)
            _compare_states(play, twin, run_id)


def _original(run_id: str) -> str:
    """Of a fork, the run that it was made of."""
    return run_id if run_id.startswith("run") else f"run{run_id.removeprefix('fork').split('x')[0]}"


def _outputs(book: Book) -> dict[str, WorkflowRunOutput]:
    rows = {run_id: book.known(run_id) for run_id in book.known_ids()}
    return {run_id: codec.decode_run(row.data) for run_id, row in rows.items() if row is not None}


# -- what may end otherwise ----------------------------------------------------------------------------------------------


def _may_fail(play: Play, output: WorkflowRunOutput) -> bool:
    refused = play.case["policy"] == "reject" and "is busy" in str(output.error)
    raced = output.error_type == Boom.__name__ and _may_differ(play, str(output.run_id))
    return refused or raced or play.book.database_failed


def _may_be_cancelled(play: Play, run_id: str) -> bool:
    book, case = play.book, play.case
    interrupted = case["policy"] == "interrupt" and case["runs"] > 1
    shut_down = book.shut_down and case.get("on_exit") == "cancel"
    return interrupted or shut_down or book.caller_left or run_id in book.cancel_asked or _had_deadline(play, run_id)


def _had_deadline(play: Play, run_id: str) -> bool:
    """Whether a question of the run, or of the one whose outcomes a fork took over, had a deadline that may have come."""
    rows = [row for known in {run_id, _original(run_id)} for row in play.book.known_requirements(known)]
    return bool(play.case.get("absent")) or any(row.timeout_at for row in rows)


def _may_differ(play: Play, run_id: str) -> bool:
    """What a run makes depends on who comes first, where it does not wait for all branches, and where time can run out."""
    return _waits_for_first(play.case["tree"]) or _had_deadline(play, run_id)


def _waits_for_first(nodes: list[NodeData]) -> bool:
    return any("first" in node or _waits_for_first(node.get("c", [])) for node in nodes)


# -- what must be the same -----------------------------------------------------------------------------------------------


def _results(output: WorkflowRunOutput) -> list[Any]:
    return [(step.step_name, str(step.content), step.success) for top in output.step_results for step in top.walk()]


def _compare_outputs(book: Book, run_id: str, output: WorkflowRunOutput, wanted: WorkflowRunOutput) -> None:
    if output.content != wanted.content:
        book.wrong("content", run_id, output.content, "instead of", wanted.content)
        return
    has, should = _results(output), _results(wanted)
    if has != should:
        different = [pair for pair in zip(has, should, strict=False) if pair[0] != pair[1]]
        book.wrong("results", run_id, different[:2], len(has), "instead of", len(should))


def _compare_states(play: Play, twin: Play, run_id: str) -> None:
    """A run's own keys of its session. Forks have sessions of their own."""
    if not run_id.startswith("run"):
        return
    session_id, own = play.session_id(int(run_id[3:])), f"r{run_id[3:]}/"
    has, should = _state(play, session_id, own), _state(twin, session_id, own)
    if has != should:
        keys = [key for key in {**has, **should} if has.get(key) != should.get(key)]
        play.book.wrong("state", run_id, {key: (has.get(key), should.get(key)) for key in keys})


def _state(play: Play, session_id: str, prefix: str) -> dict[str, object]:
    session = read(play.server.load_session(session_id))
    stored = session.state if session is not None else {}
    return {key: codec.decode_value(value) for key, value in stored.items() if key.startswith(prefix)}
