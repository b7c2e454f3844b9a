"""Rules for session states that rows name by their versions: each is what was committed, and stays so."""

from __future__ import annotations

from typing import Any

from workflow_runtime.engine.bus.state_versions import decode_view
from workflow_runtime.storage.base import StepRow
from workflow_runtime.storage.history import View, states_at, versions_in

from .book import Book, read

__all__ = ["StateRules"]

Row = Any  # a run's or a step's


class StateRules:
    """What the views of stored rows have shown right after their commits."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._shown: dict[tuple[str, str], tuple[tuple[bytes, int], dict[str, bytes]]] = {}
        self._sessions: dict[str, str] = {}

    def committed(self, batch: Any) -> None:
        """Each view of the batch shows what the batch has written, if it names it last."""
        run_ids = {row.run_id for row in batch.steps} | ({batch.run.run_id} if batch.run else set())
        for run_id in run_ids:
            if batch.session is not None:
                self._sessions[run_id] = batch.session.session_id
            paths = {row.path for row in batch.steps if row.run_id == run_id}
            for row, path in self._rows(run_id):
                if path in paths or (path == "" and batch.run is not None):
                    self._commit(row, path, batch)

    def _rows(self, run_id: str) -> list[tuple[Row, str]]:
        run = self._book.stored(run_id)
        if run is None:
            return []
        self._sessions[run_id] = run.session_id
        steps: list[StepRow] = read(self._book.server.load_steps(run_id))
        return [(row, path) for row, path in [(run, ""), *((step, step.path) for step in steps)] if _is_view(row)]

    def _commit(self, row: Row, path: str, batch: Any) -> None:
        state = self._state(row)
        if state is None:
            self._book.wrong("state-not-there", row.run_id, path)
            return
        self._shown[row.run_id, path] = (row.state, row.state_version), state
        written = batch.session.state if batch.session is not None else {}
        if path == "" and any(state.get(key) != value for key, value in written.items()):
            self._book.wrong("state-shown-otherwise", row.run_id, sorted(written))

    def _state(self, row: Row) -> dict[str, bytes] | None:
        view = decode_view(row.state, row.state_version, row.run_id)
        assert isinstance(view, View)
        versions = [*versions_in(view)] or [0]
        session_id = self._sessions[row.run_id]
        history = read(self._book.server.load_history(session_id, after=min(versions), until=max(versions)))
        return None if history is None else states_at(history, [view])[0]

    def check(self) -> None:
        """What is stored still shows the same."""
        for run_id in {run_id for run_id, _ in self._shown}:
            for row, path in self._rows(run_id):
                shown = self._shown.get((run_id, path))
                if shown is not None and shown[0] == (row.state, row.state_version) and self._state(row) != shown[1]:
                    self._book.wrong("state-changed", run_id, path)


def _is_view(row: Row) -> bool:
    return row.state is not None and row.state_version is not None
