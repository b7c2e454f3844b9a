"""A branch's hold on the session state: a copy, made when it is first asked for, and how it is merged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ...core.branch_state import MISSING, BranchState, Merges
from ...core.state import Frozen, copied, freeze, thaw
from ...model import codec
from ...model import events as ev

if TYPE_CHECKING:
    from .execution import Execution
    from .frame import Frame

__all__ = ["Branch", "Kept"]


class Kept(NamedTuple):
    """The state as a step found it, what was committed of it, and how many merges there had been by then."""

    state: dict[str, Frozen]
    committed: dict[str, bytes]
    merges: int


class Branch:
    """One of several that run at the same time. The frames below it have it, too."""

    __slots__ = ("_outer", "_run", "_view")

    def __init__(self, outer: Frame) -> None:
        self._outer = outer
        self._run = outer.run
        self._view: BranchState | None = None

    @property
    def state(self) -> BranchState:
        if self._view is None:
            self._view = BranchState(self._outer.state, merges_of(self._run))
        return self._view

    def merge(self, path: str) -> dict[str, bytes | None]:
        """Give the run what the branch has changed by the outcome at ``path``; the same, encoded where it is stored.

        Raises:
            UnserializableError: A value cannot be stored; nothing was merged.
        """
        view = self._view
        if view is None:
            return {}
        changed = view.changed()
        patch: dict[str, bytes | None] = {}
        if self._run.recorder is not None:
            for key, value, *_ in changed:
                patch[key] = None if value is MISSING else codec.encode_value(value, f"session_state[{key!r}]")
        for key, value, conflict, theirs in changed:
            if conflict is not None:
                self._run.publish(
                    ev.SessionStateConflictEvent,
                    key=key,
                    ours=None if value is MISSING else copied(value),
                    theirs=None if theirs is MISSING else copied(theirs),
                    our_path=path,
                    their_path=conflict,
                )
        view.merge(changed, path)
        return patch

    def working(self) -> dict[str, Frozen | None]:
        """What the branch has changed and not merged."""
        if self._view is None:
            return {}
        changed = {item.key: item.value for item in self._view.changed()}
        kept = {key: value for key, value in changed.items() if value is not MISSING}
        return {**dict.fromkeys(changed), **freeze(kept, stored=self._run.recorder is not None)}

    def settle(self, changed: Mapping[str, Frozen | None], path: str) -> None:
        """The run and the branch have these values from now on."""
        for key, value in changed.items():
            own, other = (MISSING, MISSING) if value is None else (thaw(value), thaw(value))
            self.state.settle(key, own, other, path)

    def recall(self, changed: Mapping[str, Frozen | None], later: Mapping[str, Any]) -> None:
        """The branch finds what it had merged when it first ran; ``later`` are the keys that others changed since."""
        for key, value in changed.items():
            self.state.recall(key, MISSING if value is None else thaw(value), later=key in later)

    def freeze(self) -> dict[str, Frozen]:
        """The state as it is now."""
        return freeze(self.state.peek(), stored=self._run.recorder is not None)

    def give_back(self, kept: Kept) -> None:
        """Let the branch find again what it had kept."""
        if self._view is not None:
            self._view.give_back({key: thaw(value) for key, value in kept.state.items()}, kept.merges)

    def drop_changes(self) -> None:
        """Let the branch find again what it had before it changed anything that is not merged."""
        if self._view is not None:
            self._view.drop_changes()

    def forget_reads(self) -> None:
        """Branches inside this one have ended: what they merged is seen."""
        if self._view is not None:
            self._view.forget_reads()


def merges_of(run: Execution) -> Merges:
    if run.merges is None:
        run.merges = Merges(run.state, stored=run.recorder is not None)
    return run.merges
