"""1,000 random workflows: whatever the tree, its log is whole and every mode runs it alike. (D1 to D3)"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from strategies import Tree, trees
from verbs import Ran, Verb, compare

STARTS = {
    "StepStarted": ("StepCompleted", "StepError"),
    "StepsExecutionStarted": ("StepsExecutionCompleted",),
    "ParallelExecutionStarted": ("ParallelExecutionCompleted",),
    "MapExecutionStarted": ("MapExecutionCompleted",),
    "LoopExecutionStarted": ("LoopExecutionCompleted",),
    "LoopIterationStarted": ("LoopIterationCompleted",),
    "ConditionExecutionStarted": ("ConditionExecutionCompleted",),
    "RouterExecutionStarted": ("RouterExecutionCompleted",),
    "WorkflowStarted": ("WorkflowCompleted",),
}
ENDS = {end: start for start, ends in STARTS.items() for end in ends}

# Of each hundred examples of the profile, where they are run.
SHARES = {"memory-asyncio": 3, "memory-trio": 1, "sqlite-uvloop": 1}


def test_the_log_of_any_tree_is_whole_and_every_mode_gives_the_same(verb: Verb, request: Any) -> None:
    db = verb.database()
    share = SHARES[request.node.callspec.params["verb"]]

    @settings(max_examples=settings().max_examples * share)
    @given(tree=trees())
    def check(tree: Tree) -> None:
        # check_log, in each mode: numbers without a gap, one end, stored events equal streamed ones.
        runs = verb.each(lambda _: tree.workflow(db=db, store_events=True), "in")
        for ran in runs:
            every_start_has_its_end(ran)
            parents_enclose_their_children(ran)
        compare(runs, ordered=False)

    check()


def every_start_has_its_end(ran: Ran) -> None:
    opened: Counter[tuple[str, str]] = Counter()
    for event in ran.events:
        key = (event.path, event.event)
        if event.event in STARTS:
            opened[key] += 1
            assert opened[key] == 1, f"{key} began again before it had ended"
        elif event.event in ENDS:
            start = (event.path, ENDS[event.event])
            assert opened[start] == 1, f"{key} ended and had not begun"
            opened[start] -= 1
    assert not +opened, f"never ended: {+opened}"


def parents_enclose_their_children(ran: Ran) -> None:
    """Nothing happens below a node before it started or after it ended."""
    going: set[str] = set()
    for event in ran.events:
        parent = event.path.rpartition("/")[0]
        if parent:
            # An item of a Map has a path of its own and no events of its own.
            assert parent in going or parent.rpartition("#")[0] in going, (
                f"{event.event} at {event.path}: {parent} is not under way"
            )
        if event.event in STARTS and event.path:
            going.add(event.path)
        elif event.event in ENDS and event.path and event.event != "WorkflowCompleted":
            going.discard(event.path)


def test_an_empty_workflow_completes(verb: Verb) -> None:
    ran = verb(lambda db: Tree(()).workflow(db=db, store_events=True), "in")
    assert (ran.content, ran.names) == ("No steps executed", ["WorkflowStarted", "WorkflowCompleted"])
