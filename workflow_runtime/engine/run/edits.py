"""``run_context.edit_state``: serialised edits of the session state, each done once. (D7)

An edit has a record in the journal with its keys before and after, which is committed together with the change. A step that
is entered again runs the block over the recorded values, and nothing of it is written: it was written the first time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from ...core.journal import Record
from ...core.state import Frozen, changes, copied, freeze, patched, replace, thaw
from ...model import events as ev
from ...model.errors import InputError, StepChanged
from ..bus.commit_turn import release_lock
from ..bus.step_rows import EDIT
from ..loop.clock import new_id
from ..loop.loops import loop_key
from ..loop.process import current
from .sessions import acquire_lock, pending_over, refresh

if TYPE_CHECKING:
    from .execution import Execution
    from .frame import Frame

__all__ = ["edit", "give_back_inside"]


@asynccontextmanager
async def edit(frame: Frame, path: str | None) -> AsyncIterator[dict[str, Any]]:
    """The block of the edit at ``path`` (None: it has no record). Leaving it commits what was changed in the dict."""
    record = frame.recorded(path) if path is not None else None
    if record is not None:
        async with _edit_again(frame, record) as state:
            yield state
        return
    run = frame.run
    db = run.definition.db
    lock = _lock_of(run)
    if (holder := lock.statistics().owner) is not None and holder == anyio.get_current_task():
        raise InputError(
            f"edit_state() inside the block of another edit_state() of session {run.request.session_id!r} would wait for"
            " itself; leave that one first, or change both in one block"
        )
    async with lock:
        if db is None:
            unstored = frame.freeze()
            state = {key: thaw(value) for key, value in unstored.items()}
            yield state
            _note(frame, path, unstored, changes(unstored, freeze(state, stored=False)))
            return
        name, owner = f"session:{run.request.session_id}", f"{run.owner}:{new_id()}"
        recorder = run.recorder
        assert recorder is not None
        await acquire_lock(run, db, name, owner)
        try:
            recorder.turn.editing = True
            async with recorder.exclusive():
                stored = await refresh(run, db)
            before: dict[str, Frozen] = dict(pending_over(run, stored))
            merges = len(run.merges.log) if run.merges is not None else 0
            state = {key: thaw(value) for key, value in before.items()}
            yield state
            changed = changes(before, freeze(state, stored=True))
            if changed:
                async with recorder.exclusive():
                    seen = {key: stored.get(key) for key in changed if before.get(key) == stored.get(key)}
                    run.state_base = patched(run.state_base, seen)
                    _tell_conflicts(run, path or "", changed, merges)
                    _note(frame, path, before, changed)
                await recorder.commit()
            elif path is not None:
                _note(frame, path, before, changed)
        finally:
            recorder.turn.editing = False
            with anyio.CancelScope(shield=True):
                await release_lock(db, name, owner)


def _lock_of(run: Execution) -> anyio.Lock:
    """The lock of the session in this process and loop; without a database that of the run."""
    db = run.definition.db
    name = run.request.session_id if db is not None else f"{run.request.session_id}:{run.id}"
    locks = current().session_locks
    key = (id(db), name, loop_key())
    lock = locks.get(key)
    if lock is None:
        lock = locks[key] = anyio.Lock()
    return lock


def _tell_conflicts(run: Execution, path: str, changed: dict[str, Any], merges: int) -> None:
    """Report the keys that a branch of this run has merged while the block was edited."""
    if run.merges is None:
        return
    for key, value in changed.items():
        last = run.merges.last(key)
        if last.number > merges:
            theirs = run.state.get(key)
            run.publish(
                ev.SessionStateConflictEvent,
                key=key,
                ours=None if value is None else thaw(value),
                theirs=copied(theirs),
                our_path=path,
                their_path=last.path,
            )


def _note(frame: Frame, path: str | None, before: Mapping[str, Frozen], changed: dict[str, Any]) -> None:
    """Put the change into the run's state, and into its journal and next commit."""
    frame.take_over(changed, path or "")
    if path is not None:
        known = {key: thaw(before[key]) for key in changed if key in before}
        frame.remember(path, known, EDIT, changed)
    elif changed and frame.run.recorder is not None:
        frame.run.recorder.take(changed)


@asynccontextmanager
async def _edit_again(frame: Frame, record: Record) -> AsyncIterator[dict[str, Any]]:
    stored = frame.run.recorder is not None
    changed = record.changed or {}
    state = {key: thaw(value) for key, value in frame.freeze().items() if key not in changed}
    state.update({key: thaw(value) for key, value in freeze(record.value or {}, stored=False).items()})
    before = freeze(state, stored=stored)
    yield state
    now = changes(before, freeze(state, stored=stored))
    if now.keys() != changed.keys():
        raise StepChanged(
            f"{record.path}: the edit changed {_names(changed)} when the step first ran and changes {_names(now)} now; a"
            " step must edit the same keys in the same order"
        )
    give_back(frame, changed)


def _names(keys: Mapping[str, Any]) -> str:
    return ", ".join(map(repr, sorted(keys))) or "nothing"


def give_back_inside(frame: Frame, path: str) -> None:
    """The same for the ``once`` at ``path``, with the edits in its function."""
    for record in list(frame.run.journal.records.values()):
        if record.changed and (record.path == path or record.path.startswith(f"{path}!edit:")):
            give_back(frame, record.changed)


def give_back(frame: Frame, changed: dict[str, Frozen | None]) -> None:
    """Let the step find what was committed when it first ran. Others may have changed these keys since: that stands, unless
    the step changes them again."""
    run, recorder = frame.run, frame.run.recorder
    later: dict[str, bytes | None] = {}
    if recorder is not None:
        known = recorder.committed
        for key, value in changed.items():
            if known.get(key) != value and not isinstance(value, tuple):  # which no stored run has
                later[key] = value
    if frame.branch is not None:
        frame.branch.recall(changed, later)
        return
    replace(run.state, changed)
    if later and recorder is not None:
        recorder.take(later)
        if recorder.created:
            run.state_base = patched(run.state_base, later)
