"""One place in the tree that a person sees: a step, a container, an iteration of a loop, an item of a Map. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from ..model.kinds import Shape, shape_of

__all__ = ["ENDED", "Attempt", "Node", "Progress", "State", "Tail"]

State = Literal[
    "pending",  # not reached yet
    "running",
    "retrying",  # an attempt failed, the next one comes
    "waiting",  # for a person
    "done",
    "failed",
    "skipped",  # a person rejected it, or its failure was skipped
    "cancelled",
    "unused",  # the run ended without it
]
ENDED: frozenset[State] = frozenset({"done", "failed", "skipped", "cancelled", "unused"})
_KEPT = 16_384  # characters of a stream that are kept for showing its end


class Progress(NamedTuple):
    """``done`` of ``total`` in any unit; None if the total is unknown."""

    done: float
    total: float | None
    text: str | None

    @property
    def share(self) -> float | None:
        """From 0 to 1; None without a total."""
        return None if not self.total else min(1.0, max(0.0, self.done / self.total))


class Attempt(NamedTuple):
    """An attempt that failed and was followed by another. Seconds: how long it took, and the pause after it."""

    seconds: float
    delay: float
    error: str


class Tail:
    """The end of a streamed text, in bounded memory. ``size`` counts all characters that arrived."""

    __slots__ = ("_kept", "_parts", "size")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._kept = 0
        self.size = 0

    def add(self, text: str) -> None:
        self._parts.append(text)
        self._kept += len(text)
        self.size += len(text)
        if self._kept > 2 * _KEPT:
            self._parts = [self.text()]
            self._kept = len(self._parts[0])

    def text(self) -> str:
        """The last characters, ``_KEPT`` at most."""
        return "".join(self._parts)[-_KEPT:]

    @property
    def is_cut(self) -> bool:
        return self.size > self._kept or self._kept > _KEPT


class Node:
    """``number`` is an iteration's or an item's, from 1; ``total`` is how many a Loop or Map may have; ``seq`` is the
    number of the event that last changed the state. Times are seconds on the view's clock."""

    __slots__ = (
        "attempt",
        "attempts",
        "children",
        "compensation",
        "dropped",
        "dropped_steps",
        "ended_at",
        "error",
        "error_type",
        "is_named",
        "kind",
        "name",
        "note",
        "number",
        "outline",
        "parent",
        "path",
        "progress",
        "round",
        "seq",
        "started_at",
        "state",
        "tail",
        "total",
    )

    def __init__(self, path: str, name: str, kind: str, parent: Node | None, number: int | None = None) -> None:
        self.path = path
        self.name = name
        self.kind = kind
        self.parent = parent
        self.number = number
        self.children: dict[str, Node] = {}
        self.dropped = 0  # children that were done and are not kept any more,
        self.dropped_steps = 0  # and the steps that were in them
        self.state: State = "pending"
        self.started_at: float | None = None
        self.ended_at: float | None = None
        self.attempt = 1
        self.attempts: list[Attempt] = []  # those before the present one
        self.round = 1  # of reject-and-do-over
        self.total: int | None = None
        self.progress: Progress | None = None
        self.tail: Tail | None = None
        self.error: str | None = None
        self.error_type: str | None = None
        self.note = ""
        self.compensation = ""  # what came of it: "compensated", or that it failed and why
        self.outline: Any = None
        self.is_named = False
        self.seq = 0

    @property
    def shape(self) -> Shape | None:
        """How its children run; None if it is not a container of the workflow."""
        return shape_of(self.kind)

    @property
    def is_ended(self) -> bool:
        return self.state in ENDED

    @property
    def is_live(self) -> bool:
        """True while something happens here."""
        return self.state in ("running", "retrying", "waiting")

    def walk(self) -> Iterator[Node]:
        """This node, then all below it, in order."""
        yield self
        for child in self.children.values():
            yield from child.walk()

    def ordered(self) -> list[Node]:
        """The children as they are shown: items by their number, whichever began first."""
        children = list(self.children.values())
        return sorted(children, key=lambda child: child.number or 0) if self.shape == "items" else children

    def above(self) -> Iterator[Node]:
        """The containers around this node, innermost first; the root is not among them."""
        node = self.parent
        while node is not None and node.parent is not None:
            yield node
            node = node.parent

    def trail(self) -> list[str]:
        """The names from the outermost container to this node, iterations as ``#3``."""
        names = [node.label for node in (self, *self.above())]
        return names[::-1]

    @property
    def label(self) -> str:
        return f"#{self.number}" if self.kind in ("iteration", "item") else self.name

    def elapsed(self, now: float) -> float | None:
        """Seconds from the start to the end, or to ``now``; None if it has not started."""
        if self.started_at is None:
            return None
        return max(0.0, (now if self.ended_at is None else self.ended_at) - self.started_at)

    def restart(self) -> None:
        """Reset it: another process runs it again."""
        self.state, self.started_at, self.ended_at = "pending", None, None
        self.attempt, self.progress, self.tail = 1, None, None
        self.attempts = []
        self.error, self.error_type, self.note = None, None, ""

    def __repr__(self) -> str:
        return f"<{self.kind} {self.path} {self.state}>"
