"""What of a run is undone if it fails or is cancelled: kept in its journal, and read from there when it is continued."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import anyio

from ...core.journal import BEGUN, COMPENSATION, DONE, GIVEN_UP, Journal, within
from ...core.plan import Node, Plan
from ...model import errors
from ...model.compensation import CompensationResult
from ...model.errors import StorageError, WorkflowRuntimeError

if TYPE_CHECKING:
    from ...core.journal import Record

__all__ = ["Due", "Undo", "recalled_error", "result_of", "static_path"]


class Due:
    """A compensation that is to be called: of the step at ``path``, which completed as number ``order``, or was ``cut_off``.
    ``key`` is its own path, under which the journal has what came of it."""

    __slots__ = ("cut_off", "key", "order", "path")

    def __init__(self, path: str, order: int, cut_off: bool) -> None:
        self.path = path
        self.order = order
        self.cut_off = cut_off
        self.key = f"{path}{COMPENSATION}:{order}"


class Undo:
    """The completed steps of a run that have a compensation, those that have begun and can be undone when they are cut off,
    and what came of the compensations that were called. Made for the first such step."""

    __slots__ = ("_begun", "_completed", "_next", "is_replaying", "nodes", "results", "scopes")

    def __init__(self) -> None:
        self._completed: dict[str, int] = {}
        self._begun: dict[str, int] = {}
        self._next = 0
        self.nodes: dict[str, Node] = {}
        self.results: dict[str, CompensationResult] = {}  # by the path of the compensation
        self.is_replaying = False  # its function is called for the steps that it names, and runs none
        self.scopes: set[anyio.CancelScope] = set()  # of the compensations that are being called

    @classmethod
    def of(cls, journal: Journal) -> Undo | None:
        """What the journal of a stored run has of it; None if nothing."""
        undo: Undo | None = None
        for record in journal.records.values():
            path = record.path
            if record.order is None and not (COMPENSATION in path or path.endswith((BEGUN, GIVEN_UP))):
                continue
            undo = undo or cls()
            undo._read(record, path)
        if undo is not None:
            undo._begun = {path: at for path, at in undo._begun.items() if not _is_done(journal.get(path))}
        return undo

    def _read(self, record: Record, path: str) -> None:
        if path.endswith(BEGUN):
            if record.value is not None:
                self._begun[path.removesuffix(BEGUN)] = record.value
                self._next = max(self._next, record.value + 1)
        elif record.kind == "compensation":
            self.results[path] = result_of(record)
            self._next = max(self._next, int(path.rpartition(":")[2]) + 1)
        elif record.order is not None and record.status == DONE:
            self._completed[path] = record.order
            self._next = max(self._next, record.order + 1)

    # -- what happens --------------------------------------------------------------------------------------------------

    def take_number(self) -> int:
        number = self._next
        self._next += 1
        return number

    def begun(self, path: str, node: Node) -> int:
        """The step at ``path`` begins; its number."""
        number = self._begun[path] = self.take_number()
        self.nodes[path] = node
        return number

    def is_begun(self, path: str) -> bool:
        return path in self._begun

    def failed(self, path: str) -> None:
        """The step has ended by itself, without an outcome."""
        self._begun.pop(path, None)

    def completed(self, path: str, node: Node) -> int:
        """The step at ``path`` has completed; its number."""
        self._begun.pop(path, None)
        number = self._completed[path] = self.take_number()
        self.nodes[path] = node
        return number

    def forget(self, path: str) -> None:
        """The step at ``path`` has no outcome any more."""
        self._completed.pop(path, None)
        self._begun.pop(path, None)

    def missed(self, due: Due, name: str, why: str, kind: str) -> None:
        """The compensation was not called."""
        self.results[due.key] = CompensationResult(
            path=due.path, step_name=name, attempts=0, cut_off=due.cut_off, error=why, error_type=kind
        )

    # -- what is to be done --------------------------------------------------------------------------------------------

    def due(self, paths: Iterable[str] = ("",), apart_from: str | None = None) -> list[Due]:
        """What is to be undone at these places, in this order: what was cut off, then what has completed, the last first.
        ``apart_from``: not what is at paths that begin so."""
        places = list(paths)

        def is_inside(path: str) -> bool:
            if apart_from is not None and path.startswith(apart_from):
                return False
            return any(not place or within(path, place) for place in places)

        found: list[Due] = []
        for known, cut_off in ((self._begun, True), (self._completed, False)):
            some = [Due(path, number, cut_off) for path, number in known.items() if is_inside(path)]
            found += sorted(some, key=lambda item: -item.order)
        return [item for item in found if item.key not in self.results]

    def shown_results(self) -> list[CompensationResult] | None:
        """What came of all compensations so far, in the order in which they were called."""
        return list(self.results.values()) or None

    def node_at(self, plan: Plan, path: str) -> Node | None:
        """The node at ``path``: the one that has run there, or the one that the plan has, or a step that has run."""
        known = self.nodes.get(path)
        if known is not None:
            return known
        place = static_path(path)
        found = plan.static.get(place)
        if found is not None:
            return found
        for around, node in self.nodes.items():
            if within(path, around):
                inside = dict(node.walk(static_path(around).removesuffix(node.segment)))
                if place in inside:
                    return inside[place]
        return None


def recalled_error(about: dict[str, Any]) -> Exception:
    """The exception itself died with its process: one of the same name and message tells of it."""
    name = about["error_type"]
    known = getattr(errors, name, WorkflowRuntimeError)
    is_of_storage = isinstance(known, type) and issubclass(known, StorageError)
    base = StorageError if is_of_storage else WorkflowRuntimeError
    kind: type[Exception] = type(name, (base,), {"__module__": __name__})
    return kind(about["error"])


def static_path(path: str) -> str:
    """The path without iterations and rounds."""
    return "/".join(part.partition("#")[0].partition("!")[0] for part in path.split("/"))


def _is_done(record: Record | None) -> bool:
    return record is not None and record.status == DONE


def result_of(record: Record) -> CompensationResult:
    """What the journal says came of a compensation."""
    value: dict[str, Any] = record.value
    return CompensationResult(
        path=record.path[: record.path.rindex(COMPENSATION)],
        step_name=value["step"],
        attempts=value["attempts"],
        cut_off=value["cut_off"],
        error=value.get("error"),
        error_type=value.get("error_type"),
    )
