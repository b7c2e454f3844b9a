"""The versions of a session's state that a run has made or seen: its rows name them instead of storing a state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from ...core.state import changes, patched
from ...model import codec
from ...model.unreadable import Unreadable
from ...storage.history import View

__all__ = ["START", "Change", "Made", "Plan", "StateVersions", "decode_view", "decode_views", "encode_view"]


START = "!start"
"""The path of the row that has the state with which a run started."""


class Change:
    """One change of the state. ``number`` counts from 1 in the commit that will store it; below 0 it is the version that it
    has got, negated."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class Made(NamedTuple):
    """The value of a key, and the change that made it. ``change`` None: its version is not known."""

    change: Change | None
    value: bytes | None


class Plan(NamedTuple):
    """A commit: its changes in their order, and what they lead to. ``state`` and ``expected`` have the same keys."""

    changes: list[tuple[Change, Mapping[str, bytes | None]]]
    state: dict[str, bytes | None]
    expected: dict[str, bytes | None]
    own: dict[str, Made]


class StateVersions:
    """``at`` is the last version of which this run knows the whole state."""

    __slots__ = ("_own", "_seen", "_waiting", "at")

    def __init__(self) -> None:
        self.at: int | None = None
        self._seen: dict[str, bytes] = {}
        self._own: dict[str, Made] = {}  # changed since
        self._waiting: list[tuple[Change, Mapping[str, bytes | None]]] = []

    def see(self, version: int, state: Mapping[str, bytes]) -> None:
        """This is the stored state at ``version``."""
        self.at, self._seen = version, dict(state)

    def note(self, changed: Mapping[str, bytes | None]) -> dict[str, Made]:
        """The next commit has this change, after those that were noted before."""
        change = Change(len(self._waiting) + 1)
        self._waiting.append((change, changed))
        made = {key: Made(change, value) for key, value in changed.items()}
        self._own.update(made)
        return made

    def find(self, key: str, value: bytes | None) -> Made:
        """The last change of this key, if it made this value."""
        made = self._own.get(key)
        return made if made is not None and made.value == value else Made(None, value)

    def place(self, key: str, value: bytes) -> Made:
        """As ``find``, also of a value that the session had before this run changed it."""
        made = self.find(key, value)
        if made.change is None and self.at is not None and self._seen.get(key) == value:
            return Made(Change(-self.at), value)
        return made

    def plan(self, base: Mapping[str, bytes], after: Mapping[str, bytes]) -> Plan:
        """How the stored state ``base`` becomes ``after``, by all that was noted. What was not noted is a last change."""
        made = list(self._waiting)
        state: Mapping[str, bytes] = base
        for _, changed in made:
            state = patched(state, changed)
        own = self._own
        rest = changes(state, after)
        if rest:
            last = Change(len(made) + 1)
            made.append((last, rest))
            own = {**own, **{key: Made(last, value) for key, value in rest.items()}}
        keys = dict.fromkeys(key for _, changed in made for key in changed)
        return Plan(made, {key: after.get(key) for key in keys}, {key: base.get(key) for key in keys}, own)

    def committed(self, plan: Plan, version: int) -> None:
        """``plan`` is stored, and the session has ``version`` by that; 0: it is not known, or there was nothing of the
        session."""
        begin = version - max(1, len(plan.changes)) if version else None
        stored = {change for change, _ in plan.changes}
        if begin is None:
            self._own = {key: made for key, made in self._own.items() if made.change not in stored}
        else:
            for change in stored:
                change.number = -(begin + change.number)
        del self._waiting[: len(plan.changes)]
        for number, (change, _) in enumerate(self._waiting, 1):
            change.number = number
        if begin is not None and self.at == begin:  # nobody has written in between
            self.at, self._seen = version, patched(self._seen, plan.state)
            self._own = {key: made for key, made in self._own.items() if made.change and made.change.number > 0}

    def known(self, state: Mapping[str, bytes]) -> int | None:
        """The version of the session that had this state, as far as this run knows."""
        return self.at if self._seen == state else None

    def made(self, state: Mapping[str, bytes], own: Mapping[str, Made] | None = None) -> dict[str, Made]:
        """In which keys ``state`` differs from that at ``at``. ``own``: with the changes of a plan."""
        mine = self._own if own is None else own
        found: dict[str, Made] = {}
        for key in dict.fromkeys((*state, *self._seen)):
            value, change = state.get(key), mine.get(key)
            if change is not None and change.value == value:
                found[key] = change
            elif self._seen.get(key) != value:
                found[key] = Made(None, value)
        return found


class _View(msgspec.Struct, omit_defaults=True):
    at: int | None = None
    keys: dict[str, int] = {}
    values: dict[str, msgspec.Raw] = {}
    before: dict[str, int] = {}


def encode_view(made: Mapping[str, Made], at: int | None = None, *, before: Mapping[str, Made] | None = None) -> bytes:
    """The stored form of a view. Its versions above 0 count from the version that the row is stored with. ``before``: the
    values of the keys before an edit, whose changes are known."""
    view = _View(at)
    view.keys = {key: item.change.number for key, item in made.items() if item.change is not None}
    view.before = {key: item.change.number for key, item in (before or {}).items() if item.change is not None}
    view.values = {
        key: codec.raw(b"null" if item.value is None else item.value)
        for key, item in made.items()
        if item.change is None
    }
    return codec.encode_plain(view, "session_state")


def decode_view(data: bytes, version: int, run_id: str) -> View | Unreadable:
    """The view in a row that is stored with ``version``; an Unreadable if it is damaged."""
    found = decode_views(data, version, run_id)
    return found if isinstance(found, Unreadable) else found[0]


def decode_views(data: bytes, version: int, run_id: str) -> tuple[View, View] | Unreadable:
    """The same, and that of the values before an edit."""
    found = codec.decode_shape(data, _View, "session_state", run_id)
    if isinstance(found, Unreadable):
        return found
    values = {key: None if bytes(value) == b"null" else bytes(value) for key, value in found.values.items()}
    now, before = (
        {key: number + version if number > 0 else -number for key, number in numbers.items()}
        for numbers in (found.keys, found.before)
    )
    return View(at=found.at, versions=now, values=values), View(versions=before)
