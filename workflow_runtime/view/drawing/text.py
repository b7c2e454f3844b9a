"""A workflow as text for other tools: Mermaid and Graphviz DOT. Names of any kind are quoted for their reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ... import Outline
from ...model.kinds import shape_of
from ..clean import one_line
from .layout import title_of

__all__ = ["dot", "mermaid"]

COLORS = {"done": "#2e7d32", "failed": "#c62828", "running": "#0277bd", "waiting": "#6a1b9a", "skipped": "#b26a00"}
_MERMAID = {
    '"': "#quot;", "#": "#35;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "`": "#96;", "\\": "#92;",
    "%": "#37;", "$": "#36;",  # directives and formulas are looked for before quotes are
}  # fmt: skip


def mermaid(outline: Sequence[Outline], states: Mapping[str, str]) -> str:
    """A flowchart from top to bottom; containers are subgraphs."""
    writer = _Mermaid(states)
    writer.lines.append("flowchart TD")
    writer.sequence(outline, "  ")
    for state in sorted({state for state in writer.seen.values() if state in COLORS}):
        writer.lines.append(f"  classDef {state} stroke:{COLORS[state]},stroke-width:2px")
        writer.lines.extend(f"  class {node} {state}" for node, found in writer.seen.items() if found == state)
    return "\n".join(writer.lines) + "\n"


def dot(name: str, outline: Sequence[Outline], states: Mapping[str, str]) -> str:
    """A digraph; containers are clusters."""
    writer = _Dot(states)
    writer.lines.append(f"digraph {_dot_text(name)} {{")
    writer.lines.append(
        '  graph [rankdir=TB, fontname="sans-serif"]; node [shape=box, style=rounded, fontname="sans-serif"];'
    )
    writer.lines.append('  edge [fontname="sans-serif"];')
    writer.sequence(outline, "  ")
    writer.lines.append("}")
    return "\n".join(writer.lines) + "\n"


class _Writer:
    """Walks an outline. Each part has its entries and its exits: the ids that lines lead to and come from."""

    def __init__(self, states: Mapping[str, str]) -> None:
        self.lines: list[str] = []
        self.states = states
        self.seen: dict[str, str] = {}
        self.count = 0

    def name(self, part: Outline, prefix: str = "n") -> str:
        """An id that no name can collide with."""
        self.count += 1
        found = f"{prefix}{self.count}"
        if part.path in self.states:
            self.seen[found] = self.states[part.path]
        return found

    def sequence(self, parts: Sequence[Outline], indent: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """(entries, exits) as (id, label of the line) of parts that follow each other."""
        entries: list[tuple[str, str]] = []
        exits: list[tuple[str, str]] = []
        for position, part in enumerate(parts):
            first, last = self.part(part, indent)
            if position == 0:
                entries = first
            else:
                for (source, left), (target, label) in _pairs(exits, first):
                    self.edge(source, target, left or label, indent)
            exits = last
        return entries, exits

    def part(self, part: Outline, indent: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        if not part.children:
            node = self.name(part)
            self.box(node, part, indent)
            return [(node, "")], [(node, "")]
        group = self.name(part, "g")
        self.open(group, part, indent)
        inner = indent + "  "
        entries: list[tuple[str, str]] = []
        exits: list[tuple[str, str]] = []
        if shape_of(part.kind) in ("branches", "choice", "decision"):
            fork = f"{group}s"
            self.point(fork, part.kind, inner)
            for branch, label in _branches(part):
                first, last = self.sequence(branch, inner)
                for target, _ in first:
                    self.edge(fork, target, label, inner)
                exits += last
                if not branch:
                    exits.append((fork, label))
            entries = [(fork, "")]
        else:
            entries, exits = self.sequence(part.children, inner)
            if shape_of(part.kind) == "rounds" and entries and exits:
                self.edge(exits[-1][0], entries[0][0], "again", inner)
        self.close(indent)
        return entries, exits

    def box(self, node: str, part: Outline, indent: str) -> None:
        raise NotImplementedError

    def point(self, node: str, kind: str, indent: str) -> None:
        raise NotImplementedError

    def open(self, group: str, part: Outline, indent: str) -> None:
        raise NotImplementedError

    def close(self, indent: str) -> None:
        raise NotImplementedError

    def edge(self, source: str, target: str, label: str, indent: str) -> None:
        raise NotImplementedError


class _Mermaid(_Writer):
    def box(self, node: str, part: Outline, indent: str) -> None:
        text = "<br/>".join(map(_mermaid_text, (part.name, *part.facts)))
        self.lines.append(f'{indent}{node}["{text}"]')

    def point(self, node: str, kind: str, indent: str) -> None:
        self.lines.append(
            f'{indent}{node}{{"?"}}' if shape_of(kind) in ("decision", "choice") else f'{indent}{node}(("+"))'
        )

    def open(self, group: str, part: Outline, indent: str) -> None:
        self.lines.append(f'{indent}subgraph {group}["{_mermaid_text(title_of(part))}"]')
        self.lines.append(f"{indent}  direction TB")

    def close(self, indent: str) -> None:
        self.lines.append(f"{indent}end")

    def edge(self, source: str, target: str, label: str, indent: str) -> None:
        shown = f'|"{_mermaid_text(label)}"|' if label else ""
        self.lines.append(f"{indent}{source} -->{shown} {target}")


class _Dot(_Writer):
    def box(self, node: str, part: Outline, indent: str) -> None:
        color = COLORS.get(self.states.get(part.path, ""))
        more = f', color="{color}", penwidth=2' if color else ""
        self.lines.append(f"{indent}{node} [label={_dot_text(part.name, *part.facts)}{more}];")

    def point(self, node: str, kind: str, indent: str) -> None:
        shape = "diamond" if shape_of(kind) in ("decision", "choice") else "point"
        self.lines.append(f'{indent}{node} [shape={shape}, label=""];')

    def open(self, group: str, part: Outline, indent: str) -> None:
        self.lines.append(f"{indent}subgraph cluster_{group} {{")
        self.lines.append(f"{indent}  label={_dot_text(title_of(part))}; style=rounded;")

    def close(self, indent: str) -> None:
        self.lines.append(f"{indent}}}")

    def edge(self, source: str, target: str, label: str, indent: str) -> None:
        shown = f" [label={_dot_text(label)}]" if label else ""
        self.lines.append(f"{indent}{source} -> {target}{shown};")


def _branches(part: Outline) -> Iterator[tuple[Sequence[Outline], str]]:
    if shape_of(part.kind) == "decision":
        for side in ("if", "else"):
            yield [child for child in part.children if child.branch == side], side
    else:
        for child in part.children:
            yield [child], ""


def _pairs(
    exits: Sequence[tuple[str, str]], entries: Sequence[tuple[str, str]]
) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    for left in exits:
        for right in entries:
            yield left, right


def _mermaid_text(text: str) -> str:
    return "".join(_MERMAID.get(character, character) for character in one_line(text)) or " "


def _dot_text(*lines: str) -> str:
    text = "\\n".join(one_line(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return f'"{text}"'
