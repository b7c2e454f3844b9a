"""The tree as lines of words: the content of each row, and which rows there is room for. Pure, without widths."""

from __future__ import annotations

from typing import NamedTuple

from .clean import one_line
from .node import Node, State
from .tree import View

__all__ = ["Row", "counted", "counts", "duration", "number", "rows", "where"]

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
    """A duration for people: ``0.42s``, ``3.1s``, ``2m 05s``, ``1h 03m``. Empty for None."""
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


def counts(view: View) -> str:
    """``3 steps · 2 images · 1,234 tokens (1,000 in, 234 out)``."""
    leaves = 0
    for node in view.root.walk():
        leaves += node.dropped_steps + (
            node.state in ("done", "failed") and not node.children and node.parent is not None
        )
    parts = [counted(leaves, "step")] if leaves else []
    nouns = {"images": "image", "videos": "video", "audio": "audio clip", "files": "file"}
    parts.extend(counted(view.media[kind], noun) for kind, noun in nouns.items() if view.media[kind])
    if total := view.tokens["total_tokens"] or view.tokens["input_tokens"] + view.tokens["output_tokens"]:
        given, made = view.tokens["input_tokens"], view.tokens["output_tokens"]
        parts.append(counted(total, "token") + (f" ({given:,} in, {made:,} out)" if given or made else ""))
    return " · ".join(parts)


def where(node: Node, arrow: str = "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}") -> str:
    """The names from the outermost container to the node, each on its line whatever it contains."""
    return f" {arrow} ".join(one_line(name) for name in node.trail())


def rows(view: View, now: float, limit: int | None = None, *, times: bool = True) -> list[Row]:
    """The rows of all steps, at most ``limit`` of them: live and failed ones are kept, sequences of others become a gap."""
    flat = _flat(view.root)
    shown = _choose([node for node, _ in flat], limit)
    clock = view.clock(now)
    found: list[Row] = []
    hidden = _Hidden()
    for node, guide in flat:
        if node.path in shown:
            hidden.tell(found)
            found.append(_row(node, guide, clock, times))
            hidden.done += node.dropped
        else:
            hidden.add(node)
    hidden.tell(found)
    return found


class _Hidden:
    """Counts the rows that are left out between two that are shown."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.done = self.live = self.other = 0

    def add(self, node: Node) -> None:
        self.done += node.dropped
        if _below(node):
            return  # its children are counted
        if node.state == "done":
            self.done += 1
        elif node.is_live:
            self.live += 1
        else:
            self.other += 1

    def tell(self, found: list[Row]) -> None:
        """Add a row with the counts, if there are any, and start again."""
        parts = [f"{count:,} {word}" for count, word in ((self.done, "done"), (self.live, "running")) if count]
        if self.other:
            parts.append(f"{self.other:,} more")
        if parts:
            state: State = "running" if self.live else "done" if self.done else "pending"
            found.append(Row((), state, ", ".join(parts), "", is_gap=True))
        self.reset()


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
    children = node.ordered()
    if node.kind in ("iteration", "item") and len(children) == 1 and not children[0].children:
        return []
    return children


def _choose(nodes: list[Node], limit: int | None) -> set[str]:
    """Paths of the rows to show; a gap counts as a row."""
    if limit is None or len(nodes) <= limit:
        return {node.path for node in nodes}
    limit = max(limit, 3)
    important = [node for node in nodes if node.is_live and not any(child.is_live for child in _below(node))]
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


def _row(node: Node, guide: tuple[str, ...], clock: float, times: bool) -> Row:
    facts: list[str] = []
    word = _WORDS.get(node.state)
    only = (
        next(iter(node.children.values()))
        if node.kind in ("iteration", "item") and not _below(node) and node.children
        else node
    )
    if node.shape in ("rounds", "items", "branches") and node.state != "pending":
        facts.extend(_counts(node))
    if only.attempt > 1:
        facts.append(f"attempt {only.attempt}")
    if only.round > 1:
        facts.append(f"round {only.round}")
    if word and (only.note != "rejected" or node.state != "skipped"):
        facts.append(word)
    if only.note and not (word and only.note == word):
        facts.append(one_line(only.note))
    if only.compensation:
        facts.append(one_line(only.compensation))
    share, problem = None, ""
    progress = only.progress
    if progress is not None and not node.is_ended:
        share = progress.share
        total = f"/{number(progress.total)}" if progress.total else ""
        facts.append(f"{number(progress.done)}{total}" + (f" {one_line(progress.text)}" if progress.text else ""))
    elif node.shape in ("rounds", "items") and node.total and node.state == "running":
        share = (sum(child.is_ended for child in node.children.values()) + node.dropped) / node.total
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
    if node.shape == "branches":
        ended = sum(child.is_ended for child in children)
        return [f"{ended}/{len(node.children)}"] if node.state == "running" else []
    count = len(children) + node.dropped
    if not count and node.is_ended:
        return [counted(node.total or 0, "item")] if node.shape == "items" else []
    if node.is_ended:
        return [counted(count, "iteration" if node.shape == "rounds" else "item")]
    if node.shape == "rounds":
        return [f"iteration {count:,}" + (f" of {node.total:,}" if node.total else "")] if count else []
    ended = sum(child.is_ended for child in children) + node.dropped
    return [f"{ended:,}/{node.total or count:,} items"]
