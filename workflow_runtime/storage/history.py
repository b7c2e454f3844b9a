"""The earlier values of a session's state, each stored as its difference to the next one: pure functions.

Theory of operation. A session's state is stored once, as it is now. Each change of it has a version, and the row of a change
says how the key's value before it is made of the value after it. So the value at any version is found by walking back from
the current one, and a text that grows costs a few bytes for each version. Runs and steps do not store a state: they name
versions (``View``). Where a difference would be as large as the value, the row has the value itself, and a walk for an
earlier version starts there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from .base import HistoryRow, SessionHistory, SessionPatch

__all__ = ["View", "difference", "history_rows", "states_at", "undone", "versions_in", "versions_of"]

_SAMPLE = 24  # bytes that are looked for, where two values differ in their middle
_PROBES = 48  # how often, at most
_LITTLE = 256  # bytes; what is left of a value is not worth a search

Ops = list[Any]
Pieces = list[memoryview]


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A state in terms of its session's history: that at version ``at`` (None: an empty one), with the keys in ``versions``
    as they were at those, and those in ``values`` with these values (None: not there)."""

    at: int | None = None
    versions: dict[str, int] = {}
    values: dict[str, bytes | None] = {}


# -- differences ---------------------------------------------------------------------------------------------------------


def difference(new: bytes, old: bytes) -> bytes | None:
    """How ``old`` is made of ``new``, for ``undone``; None where that is not much shorter than ``old``."""
    ops: Ops = []
    _compare(new, old, 0, len(new), 0, len(old), ops, [_PROBES])
    found = msgspec.msgpack.encode(ops)
    return found if len(found) < len(old) // 2 else None


def undone(new: bytes, change: bytes) -> bytes:
    """The value that ``change`` makes of ``new``."""
    return b"".join(_undo([memoryview(new)], change))


def _compare(new: bytes, old: bytes, a: int, b: int, c: int, d: int, ops: Ops, probes: list[int]) -> None:
    """Append what makes ``old[c:d]``: a start and a length in ``new``, or bytes. ``new[a:b]`` is its counterpart."""
    start = _common_start(new, old, a, b, c, d)
    _copy(ops, a, start)
    a, c = a + start, c + start
    end = _common_end(new, old, a, b, c, d)
    middle, stop = d - end, b - end
    anchor = _anchor(new, old, a, stop, c, middle, probes) if middle - c > _LITTLE else None
    if anchor is not None:
        here, there = anchor
        left = _common_end(new, old, a, here, c, there)
        _compare(new, old, a, here - left, c, there - left, ops, probes)
        _compare(new, old, here - left, stop, there - left, middle, ops, probes)
    elif middle > c:
        ops.append(old[c:middle])
    _copy(ops, stop, end)


def _copy(ops: Ops, start: int, length: int) -> None:
    if length:
        ops += [start, length]


def _anchor(new: bytes, old: bytes, a: int, b: int, c: int, d: int, probes: list[int]) -> tuple[int, int] | None:
    """A place in ``new[a:b]`` and one in ``old[c:d]`` from which both go on alike."""
    size = d - c
    for part in (2, 4, 8):
        for at in range(1, part, 2):
            if probes[0] <= 0:
                return None
            probes[0] -= 1
            place = c + size * at // part
            found = new.find(old[place : place + _SAMPLE], a, b)
            if found >= 0 and place + _SAMPLE <= d:
                return found, place
    return None


def _common_start(new: bytes, old: bytes, a: int, b: int, c: int, d: int) -> int:
    low, high = 0, min(b - a, d - c)
    size = 64
    while low < high:  # steps that double, then halve
        step = min(size, high - low)
        if new[a + low : a + low + step] == old[c + low : c + low + step]:
            low += step
            size *= 2
        elif step == 1:
            break
        else:
            high = low + step
            size = step // 2
    return low


def _common_end(new: bytes, old: bytes, a: int, b: int, c: int, d: int) -> int:
    low, high = 0, min(b - a, d - c)
    size = 64
    while low < high:
        step = min(size, high - low)
        if new[b - low - step : b - low] == old[d - low - step : d - low]:
            low += step
            size *= 2
        elif step == 1:
            break
        else:
            high = low + step
            size = step // 2
    return low


def _undo(pieces: Pieces, change: bytes) -> Pieces:
    """As ``undone``, of a value in pieces: nothing of it is copied."""
    ops: Ops = msgspec.msgpack.decode(change)
    found: Pieces = []
    position = 0
    while position < len(ops):
        item = ops[position]
        if isinstance(item, bytes):
            found.append(memoryview(item))
            position += 1
        else:
            _cut(pieces, item, ops[position + 1], found)
            position += 2
    return [memoryview(b"".join(found))] if len(found) > _PIECES else found


_PIECES = 256


def _cut(pieces: Pieces, start: int, length: int, found: Pieces) -> None:
    for piece in pieces:
        if start < len(piece) and length:
            part = piece[start : start + length]
            found.append(part)
            length -= len(part)
        start = max(0, start - len(piece))


# -- writing -------------------------------------------------------------------------------------------------------------


def history_rows(patch: SessionPatch) -> list[HistoryRow]:
    """What the commit of ``patch`` adds to the history. ``version`` counts from 1 for the first change of this commit."""
    before: dict[str, bytes | None] = {key: patch.expected.get(key) for key in patch.state}
    rows: list[HistoryRow] = []
    for number, made in enumerate(patch.changes or (patch.state,), 1):
        for key, value in made.items():
            old = before.get(key)
            if old == value:
                continue
            before[key] = value
            change = None if old is None or value is None else difference(value, old)
            rows.append(
                HistoryRow(
                    session_id=patch.session_id,
                    name=key,
                    version=number,
                    whole=change is None,
                    data=old if change is None else change,
                    created_at=patch.now,
                )
            )
    return rows


def versions_of(patch: SessionPatch) -> int:
    """How many versions the commit of ``patch`` makes."""
    return max(1, len(patch.changes))


# -- reading -------------------------------------------------------------------------------------------------------------


def states_at(history: SessionHistory, views: Sequence[View]) -> list[dict[str, bytes] | None]:
    """The state of each view; None where what it needs of the history was deleted."""
    wanted: dict[str, set[int]] = {}
    changed: dict[str, list[HistoryRow]] = {}
    for row in history.rows:
        changed.setdefault(row.name, []).append(row)
    names = dict.fromkeys((*history.state, *changed))
    for view in views:
        for name, version in view.versions.items():
            wanted.setdefault(name, set()).add(version)
        if view.at is not None:
            for name in names:
                if name not in view.versions and name not in view.values:
                    wanted.setdefault(name, set()).add(view.at)
    found = {
        name: _values(history.state.get(name), changed.get(name, ()), versions) for name, versions in wanted.items()
    }
    return [
        None if min(versions_in(view), default=history.version) < history.begins else _state_of(view, names, found)
        for view in views
    ]


def versions_in(view: View) -> Iterable[int]:
    """The versions that the view names."""
    return view.versions.values() if view.at is None else (view.at, *view.versions.values())


def _state_of(
    view: View, names: Mapping[str, None], found: Mapping[str, Mapping[int, bytes | None]]
) -> dict[str, bytes]:
    values: dict[str, bytes | None] = {}
    if view.at is not None:
        values = {name: found[name][view.at] for name in names if name not in view.versions and name not in view.values}
    values.update({name: found[name][version] for name, version in view.versions.items()})
    values.update(view.values)
    return {name: value for name, value in values.items() if value is not None}


def _values(current: bytes | None, rows: Sequence[HistoryRow], versions: set[int]) -> dict[int, bytes | None]:
    """The values of a key at ``versions``; ``rows`` are its changes, in their order."""
    pieces: Pieces | None = None if current is None else [memoryview(current)]
    found: dict[int, bytes | None] = {}
    left = sorted(versions)
    for row in reversed(rows):
        while left and left[-1] >= row.version:
            found[left.pop()] = None if pieces is None else b"".join(pieces)
        if not left:
            return found
        if row.whole:
            pieces = None if row.data is None else [memoryview(row.data)]
        elif pieces is not None and row.data is not None:
            try:
                pieces = _undo(pieces, row.data)
            except (msgspec.MsgspecError, TypeError, IndexError):
                pieces = [memoryview(row.data)]  # damaged: it cannot be read as a value, either
    for version in left:
        found[version] = None if pieces is None else b"".join(pieces)
    return found
