"""The workflow of a case. What a step returns follows from its name, what came before it and the answers it was given, so
each run has one right output, whatever happens around it. A run writes its own keys of the state, and adds to one counter.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import anyio

from workflow_runtime import (
    AnswerRejected,
    Condition,
    Map,
    Parallel,
    Retry,
    Router,
    RunContext,
    Step,
    StepInput,
    Steps,
    Workflow,
)
from workflow_runtime import Loop as Rounds

from .book import Book
from .drawing import NodeData, leaves
from .world import Boom

__all__ = ["TreeBuilder", "short"]


def short(value: object) -> str:
    return hashlib.md5(str(value).encode()).hexdigest()[:6]


class TreeBuilder:
    """Steps for the nodes of a case; ``book`` is told what happens in them. Names are numbered in the order of the tree."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._count = 0

    def build_function(self, nodes: list[NodeData]) -> Any:
        """A function that runs the leaves one after the other, and asks by itself between them."""
        parts = [(leaf, f"leaf{number}") for number, leaf in enumerate(leaves(nodes))]
        book = self._book

        async def flow(run_context: RunContext) -> str:
            contents = []
            for leaf, name in parts:
                executor, options = _leaf(leaf, name, book)
                contents.append(str(await run_context.step(name, executor, **options)))
                if leaf.get("inline"):
                    contents.append(await _ask(run_context, leaf, book))
            return "|".join(contents)

        return flow

    def build_all(self, nodes: list[NodeData]) -> list[Any]:
        return [self._build(node) for node in nodes]

    def _build(self, node: NodeData) -> Any:
        name, number = f"{node['k']}{self._count}", node.get("n", 0)
        self._count += 1
        if node["k"] == "leaf":
            executor, options = _leaf(node, name, self._book)
            return Step(name, executor=executor, **options)
        children = self.build_all(node["c"])
        match node["k"]:
            case "seq":
                return Steps(name=name, steps=children)
            case "par":
                # A shrunk case may have fewer branches than it once waited for.
                first = min(node["first"], len(children)) if "first" in node else "all"
                return Parallel(*children, name=name, max_concurrency=number or None, wait_for=first)
            case "loop":
                return Rounds(children, name=name, max_iterations=number + 1)
            case "cond":
                return Condition(children, evaluator=lambda step_input: bool(number), else_steps=[], name=name)
            case "router":
                return Router(children, selector=lambda step_input: [children[number % len(children)]], name=name)
            case "map":
                return Map(children[0], over=lambda step_input: [str(step_input.input)] * (number + 1), name=name)
            case "nest":
                return Step(name, workflow=Workflow(name=f"inner {name}", steps=children, telemetry=False))
        raise ValueError(f"the kind of {node} is unknown")


def _leaf(leaf: NodeData, name: str, book: Book) -> tuple[Any, dict[str, Any]]:
    """The function of a leaf, and the options of its step."""
    executor, options = _plain_leaf(leaf, name, book)
    if book.case.get("undo"):
        options["compensate"] = _undo(book)
    return executor, options


def _undo(book: Book) -> Any:
    async def undo(run_context: RunContext) -> None:
        book.undone(run_context)
        await anyio.sleep(book.pause())

    return undo


def _plain_leaf(leaf: NodeData, name: str, book: Book) -> tuple[Any, dict[str, Any]]:
    if leaf.get("sync"):
        return _plain(name), {}
    if leaf.get("talk"):
        return _talk(name, book), {}
    options: dict[str, Any] = {}
    if "fail" in leaf["acts"]:
        options["retry"] = Retry(attempts=3, delay=0.2)
    if leaf.get("timeout"):
        options["timeout"] = 60.0
    if leaf.get("confirm"):
        options |= {"requires_confirmation": True, "on_reject": leaf["confirm"]}
    if leaf.get("review"):
        options["requires_output_review"] = True
    if "deadline" in leaf and (leaf.get("confirm") or leaf.get("review")):
        options["hitl_timeout"], options["on_timeout"] = leaf["deadline"]
    return _acting(name, leaf, book), options


def _plain(name: str) -> Any:
    def plain(step_input: StepInput) -> str:
        return f"{name}<{short(step_input.previous_step_content)}>"

    return plain


def _talk(name: str, book: Book) -> Any:
    async def talk(step_input: StepInput, run_context: RunContext) -> AsyncIterator[str]:
        with book.working(run_context):
            for number in range(6):
                yield f"{name}.{number} "
                await anyio.sleep(book.pause())

    return talk


def _acting(name: str, leaf: NodeData, book: Book) -> Any:
    async def act_in_order(step_input: StepInput, run_context: RunContext) -> str:
        text = short(step_input.previous_step_content)
        with book.working(run_context):
            for act in leaf["acts"]:
                match act:
                    case "sleep":
                        await anyio.sleep(book.pause())
                    case "snooze":
                        await run_context.sleep(0.7)
                    case "emit":
                        run_context.emit(at=run_context.path)
                    case "ask":
                        text += await _ask(run_context, leaf, book)
                    case "once":
                        await run_context.once("pay", lambda: book.paid(run_context))
                        text += "!paid"
                    case "edit":
                        async with run_context.edit_state() as state:
                            state["count"] = state.get("count", 0) + 1
                    case "own":
                        assert run_context.session_state is not None
                        run_context.session_state[f"{step_input.input}/{run_context.path}"] = text
                    case "fail":
                        if run_context.attempt <= 2:
                            raise ValueError(f"{name} attempt {run_context.attempt}")
                    case _:
                        raise AssertionError(f"the act {act!r} is unknown")
        if leaf.get("boom"):
            raise Boom(f"{name} fails the run")
        return f"{name}<{text}>"

    return act_in_order


async def _ask(run_context: RunContext, leaf: NodeData, book: Book) -> str:
    timeout, on_timeout = leaf.get("deadline", (None, "cancel"))
    try:
        with book.asking(run_context):
            value = await run_context.ask("how many?", int, timeout=timeout, on_timeout=on_timeout)
    except AnswerRejected:
        return "?none"
    book.answered(run_context, value)
    return f"?{value}"
