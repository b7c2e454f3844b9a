"""What is known to be broken today, in one place. Whoever mends a defect takes its lines off; the tests say when one no
longer fails.
"""

from __future__ import annotations

from dataclasses import dataclass

from .drawing import Case
from .extras import extras_of

__all__ = ["EXPECTED", "KEPT_FAILING", "Known", "known"]


@dataclass(frozen=True)
class Known:
    """A rule that is known to break, and why. ``only_with``: only in cases with all of these operations, acts, kinds of
    nodes or options. What breaks in a case may break in its twin as well."""

    rule: str
    reason: str
    only_with: frozenset[str] = frozenset()

    def covers(self, rule: str, case: Case) -> bool:
        return rule.removeprefix("twin-") == self.rule and self.only_with <= _words(case)


def _with(*words: str) -> frozenset[str]:
    return frozenset(words)


def _words(case: Case) -> set[str]:
    """The operations, acts, kinds of nodes and options of a case."""
    words = {op["op"] for op in case["ops"]} | extras_of(case)
    nodes = [*case["tree"], *case.get("tree2", [])]
    while nodes:
        node = nodes.pop()
        words |= {node["k"], *node.get("acts", ())}
        nodes += node.get("c", [])
    return words


def known(rule: str, case: Case) -> Known | None:
    """The entry that covers the rule in this case, if it is known to break there."""
    return next((entry for entry in EXPECTED if entry.covers(rule, case)), None)


# In drawn cases.
EXPECTED: tuple[Known, ...] = ()

# Kept cases (files of kept/ without .json) that still break their rule.
KEPT_FAILING: frozenset[str] = frozenset()
