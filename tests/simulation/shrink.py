"""Make a case smaller while it still breaks the same rule. Greedy: the first smaller candidate that does is the next case.

A smaller case uses chance otherwise, so its schedule is another one; each candidate is tried with several seeds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from .batch import Job, play_all
from .drawing import Case, NodeData

__all__ = ["shrink"]

OTHER_SEEDS = range(900_000, 900_006)
PLAIN = {"procs": 1, "sessions": 1, "durability": "sync", "policy": "merge", "evict": 300.0}
GUARDS = ("confirm", "review", "timeout", "sync", "talk")


def shrink(case: Case, rule: str, budget: int = 250) -> Case:
    """The smallest case found that breaks ``rule``; ``budget`` candidates are tried at most."""
    best, found = case, True
    while found and budget > 0:
        found = False
        for candidate in _smaller(best):
            if budget <= 0:
                break
            budget -= 1
            broken = _breaks(candidate, rule)
            if broken is not None:
                best, found = broken, True
                break
    return best


def _breaks(case: Case, rule: str) -> Case | None:
    """The case with the first seed that breaks the rule."""
    jobs = [Job("", {**case, "seed": seed}) for seed in dict.fromkeys((case["seed"], *OTHER_SEEDS))]
    workers = os.cpu_count() or 1
    for start in range(0, len(jobs), workers):
        for row in play_all(jobs[start : start + workers], size=1):
            if any(broken.rule == rule for broken in row.broken):
                return row.case
    return None


def _smaller(case: Case) -> Iterator[Case]:
    ops = case["ops"]
    for number in range(len(ops)):
        yield {**case, "ops": ops[:number] + ops[number + 1 :]}
    for key, value in PLAIN.items():
        if case.get(key, value) != value:
            yield {**case, key: value}
    for number, op in enumerate(ops):
        for changed in _plainer(op):
            yield {**case, "ops": [*ops[:number], changed, *ops[number + 1 :]]}
    for tree in _smaller_trees(case["tree"]):
        if tree:
            yield {**case, "tree": tree}


def _plainer(op: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for key, value in (("how", "await"), ("t", round(op["t"], 1)), ("t", float(int(op["t"]))), ("p", 0)):
        if key in op and op[key] != value:
            yield {**op, key: value}


def _smaller_trees(nodes: list[NodeData]) -> Iterator[list[NodeData]]:
    for number, node in enumerate(nodes):
        before, after = nodes[:number], nodes[number + 1 :]
        yield before + after
        if node["k"] != "leaf":
            yield before + node["c"] + after
        for changed in _smaller_nodes(node):
            yield [*before, changed, *after]


def _smaller_nodes(node: NodeData) -> Iterator[NodeData]:
    if node["k"] == "leaf":
        acts = node["acts"]
        for number in range(len(acts)):
            yield {**node, "acts": acts[:number] + acts[number + 1 :]}
        for guard in GUARDS:
            if guard in node:
                yield {key: value for key, value in node.items() if key != guard}
        return
    for children in _smaller_trees(node["c"]):
        if children and (node["k"] != "map" or len(children) == 1):
            yield {**node, "c": children}
    if node["k"] != "seq":
        yield {**node, "k": "seq"}
    if node["n"]:
        yield {**node, "n": 0}
