"""Cases: a tree of steps, runs and what happens to them, drawn from a seed. Plain data, so a case can be printed, kept as
JSON, made smaller and played again.

Nodes have a kind ``k``. A leaf has ``acts`` in order and perhaps guards (``confirm``, ``review``, ``timeout``, ``sync``,
``talk``); the other kinds have children ``c`` and a number ``n`` (rounds, which branch, how many at once).
Operations have a moment ``t``, and most a process ``p`` and a run ``n``. What ``extras`` add is left out of a case that does
not have it (``extras.py``).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["ACTS", "PROFILES", "SUITE", "Case", "NodeData", "Profile", "draw_case", "leaves"]

Case = dict[str, Any]
NodeData = dict[str, Any]

ACTS = ("sleep", "ask", "once", "edit", "own", "fail", "snooze", "emit")
GUARDS = ("confirm", "review", "timeout", "sync", "talk")
KINDS = ("seq", "par", "par", "loop", "cond", "router", "map", "nest")
FAILURES = ("crash", "freeze", "cancel", "leave", "slow", "error", "lost")


@dataclass(frozen=True)
class Profile:
    """What may be drawn. ``failures``: the operations that disturb runs, of ``FAILURES``. ``extras``: of ``EXTRAS``."""

    failures: tuple[str, ...]
    acts: tuple[str, ...] = ACTS
    guards: tuple[str, ...] = GUARDS
    extras: tuple[str, ...] = ()

    def without(self, *acts: str) -> Profile:
        return replace(self, acts=tuple(act for act in self.acts if act not in acts))


_NAMED = {
    "calm": Profile(()),
    "slow": Profile(("slow",)),
    "crash": Profile(("crash", "slow")),
    "freeze": Profile(("freeze", "slow")),
    "cancel": Profile(("cancel", "slow")),
    "leave": Profile(("leave", "slow")),
    "error": Profile(("error", "slow")),
    "lost": Profile(("lost", "slow")),
    "kind": Profile(("crash", "freeze", "cancel", "leave", "slow")),  # the database never fails
    "all": Profile(FAILURES),
    "function": Profile(("crash", "freeze", "cancel", "slow"), extras=("function",)),
    "deadline": Profile(("crash", "freeze", "slow"), extras=("deadline",)),
    "session": Profile(("crash", "cancel", "leave", "slow"), extras=("session",)),
    "exit": Profile(("crash", "cancel", "slow"), extras=("exit",)),
    "several": Profile(("crash", "freeze", "slow"), extras=("several", "retention")),
    "skew": Profile(("crash",), extras=("skew",)),
    "people": Profile(("crash", "freeze", "cancel", "slow"), extras=("people",)),
    "drain": Profile(("crash", "slow"), extras=("drain",)),
    "first": Profile(("crash", "freeze", "cancel", "slow"), extras=("first",)),
    "undo": Profile(("crash", "freeze", "cancel", "leave", "slow"), extras=("undo", "first")),
    "again": Profile(("crash", "slow"), extras=("again",)),
    "wide": Profile(
        FAILURES,
        extras=("function", "deadline", "session", "exit", "several", "retention", "people", "drain", "first", "undo"),
    ),
}
# A name with -noedit leaves edit_state out: a defect that breaks one case in five hides the others.
PROFILES = _NAMED | {f"{name}-noedit": profile.without("edit") for name, profile in _NAMED.items()}

# What the tests and `make simulate-all` play.
SUITE = (*(f"{name}-noedit" for name in _NAMED), "calm", "all")


def draw_case(seed: int, profile: Profile) -> Case:
    chance = random.Random(f"case {seed}")
    case: Case = {
        "seed": seed,
        "tree": [draw_node(chance, profile) for _ in range(chance.randint(1, 3))],
        "runs": chance.randint(1, 3),
        "procs": chance.randint(1, 3),
        "sessions": chance.choice([1, 1, 3]),
        "durability": chance.choice(["sync", "async"]),
        "policy": chance.choice(["merge", "merge", "queue"]),
        "evict": chance.choice([0.0, 0.5, 300.0]),
    }
    case["ops"] = list(_draw_operations(chance, profile, case))
    if profile.extras:
        from .extras import add_extras

        add_extras(random.Random(f"extras {seed}"), profile, case)
    return case


def leaves(nodes: list[NodeData]) -> Iterator[NodeData]:
    """The leaves of a tree in its order, as they stand in the tree."""
    for node in nodes:
        if node["k"] == "leaf":
            yield node
        else:
            yield from leaves(node["c"])


def draw_node(chance: random.Random, profile: Profile, depth: int = 0) -> NodeData:
    if depth >= 3 or chance.random() < 0.5:
        return _draw_leaf(chance, profile)
    children = [draw_node(chance, profile, depth + 1) for _ in range(chance.randint(1, 3))]
    kind = chance.choice(KINDS)
    if kind == "map":
        children = [_draw_leaf(chance, profile)]
    return {"k": kind, "c": children, "n": chance.randint(0, 2)}


def _draw_leaf(chance: random.Random, profile: Profile) -> NodeData:
    def guard(name: str, likely: float) -> bool:
        return name in profile.guards and chance.random() < likely

    acts = [act for act in profile.acts if chance.random() < (0.5 if act == "sleep" else 0.22)]
    chance.shuffle(acts)
    leaf: NodeData = {"k": "leaf", "acts": acts}
    if guard("confirm", 0.1):
        leaf["confirm"] = chance.choice(["skip", "retry"])
    if guard("review", 0.06):
        leaf["review"] = 1
    if guard("timeout", 0.12):
        leaf["timeout"] = 1
    if guard("talk", 0.12):
        return {"k": "leaf", "acts": [], "talk": 1}
    if not acts and guard("sync", 0.5):
        leaf["sync"] = 1
    return leaf


def _draw_operations(chance: random.Random, profile: Profile, case: Case) -> Iterator[dict[str, Any]]:
    def moment(latest: float) -> float:
        return round(chance.uniform(0, latest), 3)

    def some(operation: str, most: int, **more: Callable[[], Any]) -> Iterator[dict[str, Any]]:
        if operation in FAILURES and operation not in profile.failures:
            return
        for _ in range(chance.randint(0, most)):
            place = {"p": chance.randrange(case["procs"]), "n": chance.randrange(case["runs"])}
            yield {"op": operation, "t": moment(8), **place, **{key: draw() for key, draw in more.items()}}

    def seconds(shortest: float, longest: float) -> Callable[[], float]:
        return lambda: round(chance.uniform(shortest, longest), 2)

    for number in range(case["runs"]):
        how = chance.choice(["await", "background", "stream"])
        yield {"op": "run", "t": moment(3), "p": chance.randrange(case["procs"]), "n": number, "how": how}
    yield from some("crash", 2, at=lambda: chance.randint(1, 400), down=seconds(0.1, 4))
    yield from some("freeze", 1, d=seconds(1, 6))
    yield from some("cancel", 1)
    yield from some("read", 2, k=lambda: chance.randint(1, 12))
    yield from some("slow", 1, d=seconds(0.5, 3), s=seconds(0.05, 1.5))
    yield from some("error", 1, d=seconds(0.2, 2))
    yield from some("lost", 1, d=seconds(0.2, 2))
    yield from some("fork", 1)
    yield from some("leave", 1)
