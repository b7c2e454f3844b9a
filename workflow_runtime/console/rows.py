"""The tree as lines of words: what stands in a row, which rows there is room for. Pure; knows no widths."""

from __future__ import annotations

from typing import NamedTuple

from .clean import one_line
from .node import Node, State
from .tree import View

__all__ = ["Row", "counted", "duration", "number", "rows", "where"]

_WORDS: dict[State, str] = {
    "retrying": "retrying",
    "waiting": "waiting for you",
    "failed": "failed",
    "skipped": "skipped",
    "cancelled": "cancelled",
    "unused": "not run",
}


class Row(NamedTuple):
    """One line: ``guide`` are the tree's branches, ``facts`` short remarks, ``share`` fills a bar (None: no bar)."""

    guide: tuple[str, ...]
    state: State
    name: str
    kind: str
    facts: tuple[str, ...] = ()
    share: float | None = None
    time: str = ""
    problem: str = ""
    is_gap: bool = False
    path: str = ""


def duration(seconds: float | None) -> str:
    """A time as a person says it: ``0.42s``, ``3.1s``, ``2m 05s``, ``1h 03m``. Empty for None."""
    if seconds is None:
        return ""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    return f"{minutes // 60}h {minutes % 60:02d}m"


def number(value: float) -> str:
    """12345.0 as ``12,345``, 0.5 as ``0.5``."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def counted(count: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def where(node: Node, arrow: str = "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}") -> str:
    """The names from the outermost container to the node, each on its line whatever it contains."""
    return f" {arrow} ".join(one_line(name) for name in node.trail())


def rows(view: View, now: float, limit: int | None = None, *, times: bool = True) -> list[Row]:
    """The rows of all steps, at most ``limit`` of them: what is live or failed is kept, runs of others become a gap."""
    flat = _flat(view.root)
    shown = _choose([node for node, _ in flat], limit)
    clock = view.clock(now)
    found: list[Row] = []
    hidden: list[Node] = []
    for node, guide in flat:
        if node.path in shown:
            if hidden:
                found.append(_gap(hidden))
                hidden = []
            found.append(_row(node, guide, clock, times))
        else:
            hidden.append(node)
    if hidden:
        found.append(_gap(hidden))
    return found


def _flat(root: Node) -> list[tuple[Node, tuple[str, ...]]]:
    """All nodes in order with their guides. An item with a single step is one row, and so is that of an iteration."""
    found: list[tuple[Node, tuple[str, ...]]] = []

    def visit(node: Node, lead: tuple[str, ...], last: bool, top: bool) -> None:
        found.append((node, lead if top else (*lead, "last" if last else "tee")))
        inner = lead if top else (*lead, "blank" if last else "line")
        children = _below(node)
        for position, child in enumerate(children):
            visit(child, inner, position == len(children) - 1, False)

    for child in root.children.values():
        visit(child, (), False, True)
    return found


def _below(node: Node) -> list[Node]:
    children = list(node.children.values())
    if node.kind in ("iteration", "item") and len(children) == 1 and not children[0].children:
        return []
    return children


def _choose(nodes: list[Node], limit: int | None) -> set[str]:
    """Paths of the rows to show; a gap counts as a row."""
    if limit is None or len(nodes) <= limit:
        return {node.path for node in nodes}
    limit = max(limit, 3)
    important = [node for node in nodes if node.is_live and not any(child.is_live for child in node.children.values())]
    failed = [node for node in nodes if node.state == "failed"]
    newest = sorted((node for node in nodes if node.is_ended), key=lambda node: node.ended_at or 0.0, reverse=True)
    coming = [node for node in nodes if node.state == "pending"]
    shown: set[str] = set()
    added: list[list[str]] = []
    for node in (*important, *failed, *coming[:2], *newest, *coming):
        wanted = [each.path for each in (node, *node.above()) if each.path not in shown]
        if len(shown) + len(wanted) > limit:
            break
        shown.update(wanted)
        added.append(wanted)
    while added and len(shown) + _gaps(nodes, shown) > limit:
        shown.difference_update(added.pop())
    return shown


def _gaps(nodes: list[Node], shown: set[str]) -> int:
    """How many runs of hidden rows there are."""
    gaps, inside = 0, False
    for node in nodes:
        hidden = node.path not in shown
        gaps += hidden and not inside
        inside = hidden
    return gaps


def _gap(hidden: list[Node]) -> Row:
    leaves = [node for node in hidden if not _below(node)] or hidden
    done = sum(node.state == "done" for node in leaves)
    live = sum(node.is_live for node in leaves)
    parts = [f"{count:,} {word}" for count, word in ((done, "done"), (live, "running")) if count]
    rest = len(leaves) - done - live
    if rest:
        parts.append(f"{rest:,} more")
    return Row((), "running" if live else "done" if done else "pending", ", ".join(parts), "", is_gap=True)


def _row(node: Node, guide: tuple[str, ...], clock: float, times: bool) -> Row:
    facts: list[str] = []
    word = _WORDS.get(node.state)
    only = (
        next(iter(node.children.values()))
        if node.kind in ("iteration", "item") and not _below(node) and node.children
        else node
    )
    if node.kind in ("Loop", "Map", "Parallel") and node.state != "pending":
        facts.extend(_counts(node))
    if only.attempt > 1:
        facts.append(f"attempt {only.attempt}")
    if only.round > 1:
        facts.append(f"round {only.round}")
    if word and (only.note != "rejected" or node.state != "skipped"):
        facts.append(word)
    if only.note and not (word and only.note == word):
        facts.append(one_line(only.note))
    share, problem = None, ""
    progress = only.progress
    if progress is not None and not node.is_ended:
        share = progress.share
        total = f"/{number(progress.total)}" if progress.total else ""
        facts.append(f"{number(progress.done)}{total}" + (f" {one_line(progress.text)}" if progress.text else ""))
    elif node.kind in ("Loop", "Map") and node.total and node.state == "running":
        share = sum(child.is_ended for child in node.children.values()) / node.total
    if only.error and node.state in ("failed", "retrying", "skipped"):
        problem = one_line(f"{only.error_type}: {only.error}" if only.error_type else only.error)
    name = node.label if only is node else f"{node.label} {only.name}"
    return Row(
        guide,
        node.state,
        one_line(name),
        node.kind,
        tuple(facts),
        share,
        duration(node.elapsed(clock)) if times and node.state not in ("pending", "unused") else "",
        problem,
        path=node.path,
    )


def _counts(node: Node) -> list[str]:
    children = [child for child in node.children.values() if child.state != "pending"]
    if node.kind == "Parallel":
        ended = sum(child.is_ended for child in children)
        return [f"{ended}/{len(node.children)}"] if node.state == "running" else []
    if not children and node.is_ended:
        return [counted(node.total or 0, "item")] if node.kind == "Map" else []
    noun = "iteration" if node.kind == "Loop" else "item"
    if node.is_ended:
        return [counted(len(children), noun)]
    if node.kind == "Loop":
        return [f"iteration {len(children)}" + (f" of {node.total}" if node.total else "")] if children else []
    return [f"{sum(child.is_ended for child in children)}/{node.total or len(children)} items"]
