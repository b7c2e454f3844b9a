"""What a case may have beside its tree and its failures. Each extra is drawn for its own profile, and together in ``wide``.

| extra | adds |
|---|---|
| function | ``form``: the workflow is a function that runs the leaves, and asks between them where a leaf is ``inline`` |
| deadline | leaves have a ``deadline``: (seconds, policy) of their questions; ``absent``: some are never answered |
| session | ``policy``: queue, reject or interrupt |
| exit | ``durability``: exit |
| several | ``tree2`` of a second workflow, for every other run; ``homes``: which workflows each process has |
| retention | ``retention`` of the first workflow: ages of runs and events in seconds |
| skew | ``skew``: by how many seconds the clock of each process is fast |
| people | ``people`` per process, who also wait for or stream what they continue; ``misdirect``: answers to other runs |
| drain | ``on_exit`` and ``grace`` of each Runtime; operations ``drain``: a process shuts down and comes back |
| first | Parallels wait for the ``first`` so many branches |
| undo | ``undo``: each leaf has a compensation; one of them may ``boom``, which fails its run |
| again | operations ``again``: the id of a run is used for another call |
"""

from __future__ import annotations

import random

from .drawing import Case, NodeData, Profile, draw_node, leaves

__all__ = ["EXTRAS", "add_extras", "extras_of"]

EXTRAS = (
    "function",
    "deadline",
    "session",
    "exit",
    "several",
    "retention",
    "skew",
    "people",
    "drain",
    "first",
    "undo",
    "again",
)


def add_extras(chance: random.Random, profile: Profile, case: Case) -> None:
    """Each extra of the profile with even odds, or the only one for certain."""
    for name in profile.extras:
        if len(profile.extras) <= 2 or chance.random() < 0.35:
            _ADD[name](chance, profile, case)


def extras_of(case: Case) -> set[str]:
    """The options of a case that are not drawn by default, for those who look for what a defect needs."""
    words = {str(case["policy"]), str(case["durability"])}
    return words | {
        key for key in ("form", "absent", "tree2", "retention", "skew", "people", "on_exit") if case.get(key)
    }


def _function(chance: random.Random, profile: Profile, case: Case) -> None:
    case["form"] = "function"
    for leaf in leaves(case["tree"]):
        if "ask" in profile.acts and chance.random() < 0.3:
            leaf["inline"] = 1


def _deadline(chance: random.Random, profile: Profile, case: Case) -> None:
    case["absent"] = chance.choice([0.0, 0.5])
    for leaf in leaves(case["tree"]):
        if chance.random() < 0.6:
            leaf["deadline"] = [round(chance.uniform(2, 6), 1), chance.choice(["cancel", "skip", "approve"])]


def _session(chance: random.Random, profile: Profile, case: Case) -> None:
    case["policy"] = chance.choice(["queue", "reject", "interrupt"])
    case["runs"], case["sessions"] = 3, 1
    started = {op["n"] for op in case["ops"] if op["op"] == "run"}
    for number in {0, 1, 2} - started:
        how = chance.choice(["await", "background", "stream"])
        moment = round(chance.uniform(0, 3), 3)
        case["ops"].append({"op": "run", "t": moment, "p": chance.randrange(case["procs"]), "n": number, "how": how})


def _exit(chance: random.Random, profile: Profile, case: Case) -> None:
    case["durability"] = "exit"


def _several(chance: random.Random, profile: Profile, case: Case) -> None:
    case["tree2"] = [draw_node(chance, profile) for _ in range(chance.randint(1, 2))]
    case["homes"] = [[0, 1], *(chance.choice([[0], [1], [0, 1]]) for _ in range(case["procs"] - 1))]


def _retention(chance: random.Random, profile: Profile, case: Case) -> None:
    case["retention"] = {
        "runs": chance.choice([None, 3.0, 8.0]),
        "events": chance.choice([None, 2.0]),
        "deltas": chance.choice([None, 1.0]),
    }


def _skew(chance: random.Random, profile: Profile, case: Case) -> None:
    case["skew"] = [chance.choice([0.0, -3.0, 3.0, 0.5]) for _ in range(case["procs"])]


def _people(chance: random.Random, profile: Profile, case: Case) -> None:
    case["people"] = chance.choice([1, 2, 3])
    for _ in range(chance.randint(0, 3)):
        place = {"p": chance.randrange(case["procs"]), "n": chance.randrange(case["runs"])}
        case["ops"].append(
            {"op": "misdirect", "t": round(chance.uniform(0.3, 8), 3), **place, "to": chance.randrange(case["runs"])}
        )


def _drain(chance: random.Random, profile: Profile, case: Case) -> None:
    case["on_exit"] = chance.choice(["release", "cancel"])
    case["grace"] = chance.choice([0.0, 0.5, 3.0])
    for _ in range(chance.randint(1, 2)):
        slot, moment = chance.randrange(case["procs"]), round(chance.uniform(0.3, 6), 3)
        down = round(chance.uniform(0.1, 4), 2)
        case["ops"].append({"op": "drain", "t": moment, "p": slot, "n": 0, "down": down})


def _undo(chance: random.Random, profile: Profile, case: Case) -> None:
    case["undo"] = 1
    found = [leaf for leaf in leaves(case["tree"]) if not leaf.get("sync") and not leaf.get("talk")]
    if found and chance.random() < 0.7:
        found[-1]["boom"] = 1


def _first(chance: random.Random, profile: Profile, case: Case) -> None:
    def mark(nodes: list[NodeData]) -> None:
        for node in nodes:
            if node["k"] == "par" and chance.random() < 0.7:
                node["first"] = chance.randint(1, len(node["c"]))
            mark(node.get("c", []))

    mark(case["tree"])


def _again(chance: random.Random, profile: Profile, case: Case) -> None:
    for _ in range(chance.randint(1, 2)):
        place = {"p": chance.randrange(case["procs"]), "n": chance.randrange(case["runs"])}
        how = chance.choice(["await", "background", "stream"])
        case["ops"].append({"op": "again", "t": round(chance.uniform(0, 6), 3), **place, "how": how})


_ADD = {
    "function": _function,
    "deadline": _deadline,
    "session": _session,
    "exit": _exit,
    "several": _several,
    "retention": _retention,
    "skew": _skew,
    "people": _people,
    "drain": _drain,
    "first": _first,
    "undo": _undo,
    "again": _again,
}
