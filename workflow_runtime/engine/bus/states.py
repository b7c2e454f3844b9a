"""The session states that runs and steps name by their versions, read back from the history of the session."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...core.journal import DONE, VOID
from ...model import codec
from ...model.errors import StorageError
from ...model.run import WorkflowRunOutput
from ...model.unreadable import Unreadable
from ...storage.base import BaseDb, RunRow, StepRow
from ...storage.history import View, states_at, versions_in
from .state_versions import START, decode_view, decode_views
from .step_rows import with_value

__all__ = ["DAMAGED", "load_outputs", "read_output", "with_states"]

DAMAGED = "(damaged)"  # in the place of the keys, where nobody knows which they are


async def read_output(db: BaseDb, row: RunRow) -> WorkflowRunOutput:
    """The stored output of a run with its session state, without its events and questions."""
    [output] = await load_outputs(db, [row])
    return output


async def load_outputs(db: BaseDb, rows: Sequence[RunRow]) -> list[WorkflowRunOutput]:
    """The same of several runs; the history of each of their sessions is read once. A run whose state is not stored any more
    has none."""
    outputs = [codec.decode_run(row.data, row) for row in rows]
    sessions: dict[str, dict[int, View]] = {}
    for place, row in enumerate(rows):
        view = None if row.state is None else decode_view(row.state, row.state_version or 0, row.run_id)
        if isinstance(view, View):
            sessions.setdefault(row.session_id, {})[place] = view
        elif view is not None:
            outputs[place].session_state = {DAMAGED: view}
    for session_id, views in sessions.items():
        states = await _load_states(db, session_id, list(views.values()))
        for place, state in zip(views, states, strict=True):
            where = f"run {rows[place].run_id}: session_state"
            outputs[place].session_state = (
                {
                    key: codec.decode_value(value, f"{where}[{key!r}]", rows[place].run_id)
                    for key, value in state.items()
                }
                if state is not None
                else None
            )
    return outputs


async def with_states(db: BaseDb, rows: list[StepRow], session_id: str, *, done: bool) -> list[StepRow]:
    """These rows of one run of the session, with the values of the keys of the state that they name. ``done`` False: not
    those of steps that have ended, which are needed only to know how the state was.

    Raises:
        StorageError: The state is not stored any more.
    """
    views: dict[int, tuple[View, View]] = {}
    found = list(rows)
    for place, row in enumerate(rows):
        if row.state is None or row.state_version is None:
            continue
        if not done and (row.status in (DONE, VOID) or row.path == START):
            found[place] = msgspec.structs.replace(row, state=None)
            continue
        pair = decode_views(row.state, row.state_version, row.run_id)
        if not isinstance(pair, Unreadable):
            views[place] = pair
    states = await _load_states(db, session_id, [view for pair in views.values() for view in pair])
    for number, (place, (view, _)) in enumerate(views.items()):
        row = rows[place]
        state, before = states[2 * number : 2 * number + 2]
        if state is None or before is None:
            raise StorageError(
                f"run {row.run_id!r}: the session state of {row.path!r} is not stored any more; its session was deleted,"
                " or its history was pruned"
            )
        gone = [key for key in (*view.versions, *view.values) if key not in state]
        parts = {**{key: codec.raw(value) for key, value in state.items()}, **dict.fromkeys(gone)}
        if before:
            row = with_value(row, before)
        found[place] = msgspec.structs.replace(row, state=codec.encode_plain(parts, row.path), state_version=None)
    return found


async def _load_states(db: BaseDb, session_id: str, views: Sequence[View]) -> Sequence[dict[str, bytes] | None]:
    if not views:
        return []
    versions = [version for view in views for version in versions_in(view)]
    if not versions:  # they have all of their values
        return [{key: value for key, value in view.values.items() if value is not None} for view in views]
    history = await db.load_history(session_id, after=min(versions), until=max(versions))
    return [None] * len(views) if history is None else states_at(history, views)
