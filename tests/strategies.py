"""Random workflows: a tree as data (so that it shrinks and can be printed), and the Workflow that it describes.

    @given(tree=trees())
    def test_...(tree): tree.workflow(db=db).run("x")

A tree is deterministic: its outputs depend on its input alone, whatever the interleaving of its branches. Other tests
put leaves of their own in: ``trees(leaves=...)`` draws ``Leaf`` objects, ``tree.workflow(make_leaf=...)`` builds them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import anyio.lowlevel
from hypothesis import strategies as st

from workflow_runtime import (
    Condition,
    Loop,
    Map,
    Parallel,
    Router,
    RunContext,
    Step,
    StepInput,
    StepOutput,
    Steps,
    Workflow,
)
from workflow_runtime.testing import ScriptedAgent

__all__ = ["Branch", "Leaf", "Tree", "executor", "leaves", "make_step", "trees"]

KINDS = ("function", "inline", "coroutine", "generator", "async generator", "object", "agent")
DEEDS = ("text", "text", "text", "dict", "none", "skip", "stop", "note")


@dataclass(frozen=True)
class Leaf:
    """``kind``: how its executor is written. ``does``: what it does; "skip" fails under the policy skip."""

    kind: str = "coroutine"
    does: str = "text"


@dataclass(frozen=True)
class Branch:
    """A container: its ``kind`` (steps, parallel, loop, condition, router, map, workflow), its children, and ``n``: the
    iterations of a loop, the items of a map, the choices of a router (as bits; the fourth: all of them
    twice), a condition's outcome (0 or 1)."""

    kind: str
    children: tuple[Leaf | Branch, ...]
    n: int = 1
    other: tuple[Leaf | Branch, ...] = ()


@dataclass(frozen=True)
class Tree:
    roots: tuple[Leaf | Branch, ...]

    def workflow(
        self,
        *,
        make_leaf: Callable[[Leaf, str], Any] | None = None,
        decorate: Callable[[Any, str], None] | None = None,
        name: str = "tree",
        **options: Any,
    ) -> Workflow:
        """The workflow; its steps are named s0, s1, ... in declared order. ``decorate`` may change each step before it
        becomes part of another."""
        steps = _Builder(make_leaf or make_step, decorate).all(self.roots)
        return Workflow(name=name, steps=steps, **options)


# -- drawing -------------------------------------------------------------------------------------------------------------


def leaves() -> st.SearchStrategy[Leaf]:
    return st.builds(Leaf, kind=st.sampled_from(KINDS), does=st.sampled_from(DEEDS))


def trees(leaves: st.SearchStrategy[Leaf] | None = None, *, max_leaves: int = 8) -> st.SearchStrategy[Tree]:
    """Small trees of every kind of step; the first example is a single leaf."""
    leaf = leaves if leaves is not None else globals()["leaves"]()
    nodes = st.recursive(leaf, _branches, max_leaves=max_leaves)
    return st.builds(Tree, st.lists(nodes, min_size=1, max_size=3).map(tuple))


def _branches(inner: st.SearchStrategy[Leaf | Branch]) -> st.SearchStrategy[Branch]:
    some = st.lists(inner, min_size=1, max_size=3).map(tuple)
    maybe = st.lists(inner, max_size=2).map(tuple)
    one = inner.map(lambda node: (node,))
    return st.one_of(
        st.builds(Branch, st.just("steps"), maybe),
        st.builds(Branch, st.just("parallel"), some, st.integers(0, 2)),
        st.builds(Branch, st.just("loop"), some, st.integers(1, 3)),
        st.builds(Branch, st.just("condition"), maybe, st.integers(0, 1), maybe),
        st.builds(Branch, st.just("router"), some, st.integers(0, 15)),
        st.builds(Branch, st.just("map"), one, st.integers(0, 3)),
        st.builds(Branch, st.just("workflow"), maybe),
    )


# -- building ------------------------------------------------------------------------------------------------------------


class _Builder:
    def __init__(self, make_leaf: Callable[[Leaf, str], Any], decorate: Callable[[Any, str], None] | None) -> None:
        self.make_leaf = make_leaf
        self.decorate = decorate
        self.count = 0

    def all(self, nodes: tuple[Leaf | Branch, ...]) -> list[Any]:
        return [self.one(node) for node in nodes]

    def one(self, node: Leaf | Branch) -> Any:
        number = self.count
        self.count += 1
        name = f"s{number}" if isinstance(node, Leaf) else f"{node.kind}{number}"
        made = self.make_leaf(node, name) if isinstance(node, Leaf) else self.branch(node, name)
        if self.decorate is not None:
            self.decorate(made, name)
        return made

    def branch(self, node: Branch, name: str) -> Any:
        children = self.all(node.children)
        if node.kind == "steps":
            return Steps(name=name, steps=children)
        if node.kind == "parallel":
            return Parallel(*children, name=name, max_concurrency=None if _stops(node) else node.n or None)
        if node.kind == "loop":
            # Of three iterations at most, the condition ends it after n: as a function or as an expression.
            end: Any = f"current_iteration >= {node.n}" if node.n == 2 else _ends_after(node.n)
            return Loop(children, name=name, max_iterations=3, end_condition=end, forward_iteration_output=node.n == 3)
        if node.kind == "condition":
            holds = bool(node.n)
            return Condition(children, evaluator=lambda step_input: holds, else_steps=self.all(node.other), name=name)
        if node.kind == "router":
            return Router(children, selector=_chooses(node.n), name=name)
        if node.kind == "map":
            items = [f"item{i}" for i in range(node.n)]
            return Map(
                children[0], over=lambda step_input: items, name=name, max_concurrency=None if _stops(node) else 2
            )
        return Step(name=name, workflow=Workflow(name=f"inner {name}", steps=children))


def _stops(node: Leaf | Branch) -> bool:
    """Whether a step in the branches of ``node`` says stop. Which of them have begun by then depends on the time that each
    takes, if they wait for places; tests/steps/test_stop_in_a_branch.py is about that."""
    if isinstance(node, Leaf):
        return node.does == "stop"
    return any(_stops(child) for child in (*node.children, *node.other))


def _ends_after(n: int) -> Callable[..., bool]:
    def ended(outputs: list[StepOutput], iteration: int) -> bool:
        return iteration >= n

    return ended


def _chooses(bits: int) -> Callable[..., list[str]]:
    def choose(step_input: StepInput, step_choices: list[str]) -> list[str]:
        chosen = [name for position, name in enumerate(step_choices) if bits >> position & 1]
        return chosen * 2 if bits >> 3 else chosen

    return choose


def make_step(leaf: Leaf, name: str, ran: list[str] | None = None) -> Step:
    """The step that a leaf describes. What it says depends on its name, its input and the step before it. Every time that
    its body runs, its name goes into ``ran``."""
    if leaf.kind == "agent":
        agent = ScriptedAgent(name, f"{name} says so")
        agent.calls = _Calls(name, ran if ran is not None else [])
        return Step(name=name, agent=agent)
    policy = "skip" if leaf.does == "skip" else "fail"
    return Step(name=name, executor=executor(leaf, name, ran), on_error=policy, offload=leaf.kind != "inline")


class _Calls(list[dict[str, Any]]):
    def __init__(self, name: str, ran: list[str]) -> None:
        self.name, self.ran = name, ran

    def append(self, given: dict[str, Any]) -> None:
        self.ran.append(self.name)
        super().append(given)


def executor(leaf: Leaf, name: str, ran: list[str] | None = None) -> Any:
    """The executor of a leaf that is not an agent."""

    def answer(step_input: StepInput, session_state: dict[str, Any], run_context: RunContext) -> Any:
        if ran is not None:
            ran.append(name)
        if leaf.does == "skip":
            raise ValueError(f"{name} cannot")
        if leaf.does == "note":
            key = run_context.path  # which no branch beside it has
            session_state[key] = session_state.get(key, 0) + 1
        said = f"{name}({step_input.input}|{step_input.get_last_step_content()})"[:80]
        if leaf.does == "dict":
            return {"said": said, "by": name}
        if leaf.does == "none":
            return None
        return StepOutput(said, stop=True) if leaf.does == "stop" else said

    async def coroutine(step_input: StepInput, session_state: dict[str, Any], run_context: RunContext) -> Any:
        await anyio.lowlevel.checkpoint()
        return answer(step_input, session_state, run_context)

    def generator(step_input: StepInput, session_state: dict[str, Any], run_context: RunContext) -> Iterator[Any]:
        yield f"{name}:"
        yield answer(step_input, session_state, run_context)

    async def async_generator(
        step_input: StepInput, session_state: dict[str, Any], run_context: RunContext
    ) -> AsyncIterator[Any]:
        yield f"{name}:"
        await anyio.lowlevel.checkpoint()
        yield answer(step_input, session_state, run_context)

    class Callable_:
        def __call__(self, step_input: StepInput, session_state: dict[str, Any], run_context: RunContext) -> Any:
            return answer(step_input, session_state, run_context)

    return {
        "function": answer,
        "inline": answer,
        "coroutine": coroutine,
        "generator": generator,
        "async generator": async_generator,
        "object": Callable_(),
    }[leaf.kind]
