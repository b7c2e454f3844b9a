"""The session state of a branch: a copy that is made key by key, and merged with the outcomes of the branch.

A key is copied when the branch first touches it. Changes that other branches have merged meanwhile are visible in the keys
that this branch has not touched, and in numbers and texts that it has only read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..model.codec import decode_value, encode_value
from ..model.errors import UnserializableError
from ..model.values import store_as_dict
from .state import copied

__all__ = ["MISSING", "BranchState", "Changed", "Merges"]

_ATOMS = frozenset({str, int, float, bool, bytes, type(None)})


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()
"""The value of a missing key."""


class Changed(NamedTuple):
    """A key that a branch has changed. ``conflict`` is the path of the branch that changed it meanwhile, None if none did;
    ``theirs`` the value that it left."""

    key: str
    value: Any
    conflict: str | None
    theirs: Any


class _Last(NamedTuple):
    number: int
    path: str
    by: object


_NEVER = _Last(0, "", None)


class Merges:
    """The changes that were merged into the state of a run, in order. ``stored``: values can be encoded."""

    __slots__ = ("_last", "log", "root", "stored")

    def __init__(self, root: dict[str, Any], *, stored: bool) -> None:
        self.root = root
        self.stored = stored
        self.log: list[str] = []
        self._last: dict[str, _Last] = {}

    def last(self, key: str) -> _Last:
        """The last merge of a key."""
        return self._last.get(key, _NEVER)

    def note(self, key: str, path: str, by: object) -> int:
        """The key has another value from now on; the number of this merge."""
        self.log.append(key)
        self._last[key] = _Last(len(self.log), path, by)
        return len(self.log)

    def copy(self, value: Any) -> Any:
        """An own copy of a value. If nothing is stored, objects other than dicts, lists and sets are shared."""
        if type(value) in _ATOMS or value is MISSING:
            return value
        if self.stored:
            try:
                return decode_value(encode_value(value))
            except UnserializableError:
                pass
        return copied(value)


class _Touched:
    """A key that the branch has looked at: the value it found, and the number of merges by then."""

    __slots__ = ("number", "value", "written")

    def __init__(self, value: Any, number: int) -> None:
        self.value = value
        self.number = number
        self.written = False


class BranchState(dict[str, Any]):
    """A dict for a branch, over ``parent``, which does not change but by merges while the branch runs."""

    __slots__ = ("_merges", "_seen", "_touched")

    def __init__(self, parent: dict[str, Any], merges: Merges) -> None:
        super().__init__()
        for key, value in dict.items(parent):
            dict.__setitem__(self, key, value)
        self._merges = merges
        self._seen = len(merges.log)
        self._touched: dict[str, _Touched] = {}

    # -- touching ------------------------------------------------------------------------------------------------------

    def _pull(self) -> None:
        log = self._merges.log
        if self._seen == len(log):
            return
        for key in log[self._seen :]:
            touched = self._touched.get(key)
            own = dict.get(self, key, MISSING)
            if touched is not None and (touched.written or own is not touched.value or not _is_atom(own)):
                continue
            value = dict.get(self._merges.root, key, MISSING)
            if touched is not None:
                if not _is_atom(value):
                    value = self._merges.copy(value)
                touched.value = value
            self._put(key, value)
        self._seen = len(log)

    def _put(self, key: str, value: Any) -> None:
        if value is MISSING:
            dict.pop(self, key, None)
        else:
            dict.__setitem__(self, key, value)

    def _touch(self, key: str) -> _Touched:
        self._pull()
        touched = self._touched.get(key)
        if touched is None:
            value = dict.get(self, key, MISSING)
            touched = self._touched[key] = _Touched(value, self._seen)
            if not _is_atom(value):
                self._put(key, self._merges.copy(value))
        return touched

    def _touch_all(self) -> None:
        self._pull()
        for key in list(dict.keys(self)):
            self._touch(key)

    # -- the methods of a dict --------------------------------------------------------------------------------------------

    def __getitem__(self, key: str) -> Any:
        self._touch(key)
        return dict.__getitem__(self, key)

    def get(self, key: str, default: Any = None) -> Any:
        self._touch(key)
        return dict.get(self, key, default)

    def __contains__(self, key: object) -> bool:
        if isinstance(key, str):
            self._touch(key)
        return dict.__contains__(self, key)

    def __iter__(self) -> Iterator[str]:
        self._pull()
        return dict.__iter__(self)

    def __len__(self) -> int:
        self._pull()
        return dict.__len__(self)

    def keys(self) -> Any:
        self._pull()
        return dict.keys(self)

    def items(self) -> Any:
        self._touch_all()
        return dict.items(self)

    def values(self) -> Any:
        self._touch_all()
        return dict.values(self)

    def copy(self) -> dict[str, Any]:
        self._touch_all()
        return dict(dict.items(self))

    def __reduce__(self) -> Any:
        return dict, (self.copy(),)

    def __deepcopy__(self, memo: Any) -> dict[str, Any]:
        from copy import deepcopy

        return deepcopy(self.copy(), memo)

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __ior__(self, other: Any) -> Any:
        self.update(other)
        return self

    def __setitem__(self, key: str, value: Any) -> None:
        self._touch(key).written = True
        dict.__setitem__(self, key, value)

    def __delitem__(self, key: str) -> None:
        self._touch(key).written = True
        dict.__delitem__(self, key)

    def setdefault(self, key: str, default: Any = None) -> Any:
        touched = self._touch(key)
        if not dict.__contains__(self, key):
            touched.written = True
        return dict.setdefault(self, key, default)

    def pop(self, key: str, *default: Any) -> Any:
        touched = self._touch(key)
        if dict.__contains__(self, key):
            touched.written = True
        return dict.pop(self, key, *default)

    def popitem(self) -> Any:
        self._touch_all()
        key, value = dict.popitem(self)
        self._touched[key].written = True
        return key, value

    def clear(self) -> None:
        for key in list(self.keys()):
            del self[key]

    def update(self, *others: Any, **more: Any) -> None:
        for key, value in dict(*others, **more).items():
            self[key] = value

    # -- outcomes ------------------------------------------------------------------------------------------------------

    def changed(self) -> list[Changed]:
        """The keys that were changed since they were last merged, or whose values were set to what they had been while
        another branch changed them."""
        found = []
        for key, touched in list(self._touched.items()):
            own = dict.get(self, key, MISSING)
            last = self._merges.last(key)
            newer = last.number > touched.number and last.by is not self
            same = own is touched.value if _is_atom(own) and not touched.written else _same(own, touched.value)
            if same and not (touched.written and newer):
                continue
            theirs = dict.get(self._merges.root, key, MISSING)
            found.append(Changed(key, own, last.path if newer else None, theirs))
        return found

    def merge(self, changed: list[Changed], path: str) -> None:
        """Let the run have these values; the branch keeps its own."""
        for key, value, *_ in changed:
            self.settle(key, value, self._merges.copy(value), path)
        self.forget_reads()

    def settle(self, key: str, own: Any, value: Any, path: str) -> None:
        """The run has ``value`` under the key from now on, and this branch ``own``, an equal one."""
        root = self._merges.root
        if value is MISSING:
            root.pop(key, None)
        else:
            root[key] = value
        number = self._merges.note(key, path, self)
        self._put(key, own)
        self._touched[key] = _Touched(value, number)

    def recall(self, key: str, value: Any, *, later: bool) -> None:
        """The branch gets ``value``, which it had merged before; ``later``: the run has another one by now."""
        self._pull()
        self._put(key, value)
        number = -1 if later else self._merges.last(key).number
        self._touched[key] = _Touched(self._merges.copy(value), number)

    def forget_reads(self) -> None:
        """Keys that were only read are read again from now on."""
        changed = {item.key for item in self.changed()}
        for key in [key for key in self._touched if key not in changed]:
            del self._touched[key]
            self._put(key, dict.get(self._merges.root, key, MISSING))

    def give_back(self, kept: Mapping[str, Any], merges: int) -> None:
        """Restore the keys that were changed since to ``kept`` (with own copies), the state after that many ``merges``;
        later merges are kept."""
        for key in [item.key for item in self.changed()]:
            touched = self._touched[key]
            value = kept.get(key, MISSING) if touched.number <= merges else self._merges.copy(touched.value)
            self._put(key, value)
            touched.written = False

    def drop_changes(self) -> None:
        """Every key that was changed and not merged has the value again with which it was last merged or first read."""
        for key in [item.key for item in self.changed()]:
            touched = self._touched[key]
            self._put(key, self._merges.copy(touched.value))
            touched.written = False

    def peek(self) -> dict[str, Any]:
        """The current values, which must not be changed: reading them here does not count as touching them."""
        self._pull()
        return dict(dict.items(self))


store_as_dict(BranchState)


def _is_atom(value: Any) -> bool:
    return type(value) in _ATOMS or value is MISSING


def _same(one: Any, other: Any) -> bool:
    if one is MISSING or other is MISSING:
        return one is other
    try:
        return encode_value(one) == encode_value(other)
    except UnserializableError:
        return type(one) is type(other) and _equal(one, other)


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # of their own class: a field that is not set, for one
        return one is other
