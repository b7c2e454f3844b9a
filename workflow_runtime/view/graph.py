"""The graph of one run: the steps that ran, and the declared steps that have not run yet. Pure.

A loop shows its last iterations, a Map some of its items, a Condition and a Router also the branches that were not taken. A
run of ten thousand items shows only a few: ``graph`` reduces the content until the drawing is small enough to be useful.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .. import Outline
from .node import Node
from .rows import Row, rows
from .tree import View

__all__ = ["Graph", "graph"]

_MOST_PARTS = 120


class Graph(NamedTuple):
    """``parts`` to lay out and draw; ``states`` by their paths. ``is_cut``: too large, only the containers' counts fit."""

    parts: tuple[Outline, ...]
    states: dict[str, str]
    is_cut: bool = False


class _Budget(NamedTuple):
    rounds: int
    items: int


_BUDGETS = (_Budget(3, 6), _Budget(2, 3), _Budget(1, 1))


def graph(view: View, now: float) -> Graph:
    """The picture of the run as it is now. ``parts`` is empty for a callable workflow that has not started a step."""
    found = Graph((), {})
    known = {row.path: row for row in rows(view, now, None)}
    for budget in _BUDGETS:
        maker = _Maker(known, budget)
        parts = tuple(maker.part(node) for node in view.root.children.values())
        found = Graph(parts, maker.states)
        if len(maker.states) <= _MOST_PARTS:
            return found
    return Graph(found.parts[:_MOST_PARTS], found.states, is_cut=True)


class _Maker:
    def __init__(self, known: dict[str, Row], budget: _Budget) -> None:
        self.known = known
        self.budget = budget
        self.states: dict[str, str] = {}

    def part(self, node: Node, branch: str = "") -> Outline:
        self.states[node.path] = node.state
        row = self.known.get(node.path)
        facts = row.facts if row is not None else ()
        if node.state == "pending" and node.outline is not None:
            facts = tuple(node.outline.facts)
        name = row.name if row is not None else node.label
        if row is not None and row.time and not node.children and node.is_ended:
            facts = (*facts, row.time)
        return Outline(
            path=node.path,
            name=name,
            kind=node.kind,
            branch=branch,
            facts=facts[:3],
            children=tuple(self.below(node, row)),
        )

    def below(self, node: Node, row: Row | None) -> Iterable[Outline]:
        children = node.ordered()
        if node.kind in ("iteration", "item") and len(children) == 1 and not children[0].children:
            return []  # its only step is in its row
        if not children or node.shape in ("decision", "choice"):
            return self.declared(node, _outline(node))
        if node.shape == "rounds":
            return self.some(node, children, children[-self.budget.rounds :], "earlier")
        if node.shape == "items" and (len(children) > self.budget.items or node.dropped):
            live = [child for child in children if child.is_live or child.state == "failed"]
            rest = [child for child in reversed(children) if child not in live]
            chosen = {child.path for child in [*live, *rest][: self.budget.items]}
            return self.some(node, children, [child for child in children if child.path in chosen], "more")
        return [self.part(child) for child in children]

    def some(self, node: Node, children: Sequence[Node], shown: Sequence[Node], word: str) -> list[Outline]:
        left = len(children) - len(shown) + node.dropped
        found = [self.part(child) for child in shown]
        if left:
            gap = self.gap(f"{node.path}/…", f"{left:,} {word}")
            found = [gap, *found] if word == "earlier" else [*found, gap]
        return found

    def gap(self, path: str, name: str) -> Outline:
        self.states[path] = "gap"
        return Outline(path=path, name=f"… {name}", kind="gap")

    def declared(self, node: Node, outline: Sequence[Any]) -> list[Outline]:
        """The declared parts, each as it ran if it did; undeclared parts that ran come after them."""
        found, seen = [], set()
        over = node.is_ended or (node.shape in ("decision", "choice") and node.state != "pending")
        for part in outline:
            path = f"{node.path}/{part.path.rpartition('/')[2]}"
            seen.add(path)
            ran = node.children.get(path)
            found.append(self.part(ran, part.branch) if ran is not None else self.static(part, path, over))
        side = ("if" if node.note == "if" else "else") if node.shape == "decision" else ""
        found += [self.part(child, side) for path, child in node.children.items() if path not in seen]
        return found

    def static(self, part: Any, path: str, over: bool) -> Outline:
        """A part without any events."""
        self.states[path] = "unused" if over else "pending"
        children = [self.static(child, f"{path}/{child.path.rpartition('/')[2]}", over) for child in part.children]
        return Outline(
            path=path,
            name=part.name,
            kind=part.kind,
            branch=part.branch,
            facts=() if over else tuple(part.facts)[:3],
            children=tuple(children),
        )


def _outline(node: Node) -> Sequence[Any]:
    return node.outline.children if node.outline is not None else ()
