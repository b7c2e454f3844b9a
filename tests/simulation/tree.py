"""The workflow of a case. What a step returns follows from its name, what came before it and the answers it was given, so
each run has one right output, whatever happens around it. A run writes its own keys of the state, and adds to one counter.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import anyio

from workflow_runtime import Condition, Map, Parallel, Retry, Router, RunContext, Step, StepInput, Steps, Workflow
from workflow_runtime import Loop as Rounds

from .book import Book
from .drawing import NodeData

__all__ = ["TreeBuilder", "short"]


def short(value: object) -> str:
    return hashlib.md5(str(value).encode()).hexdigest()[:6]


class TreeBuilder:
    """Steps for the nodes of a case; ``book`` is told what happens in them. Names are numbered in the order of the tree."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._count = 0

    def build_all(self, nodes: list[NodeData]) -> list[Any]:
        return [self._build(node) for node in nodes]

    def _build(self, node: NodeData) -> Any:
        name, number = f"{node['k']}{self._count}", node.get("n", 0)
        self._count += 1
        if node["k"] == "leaf":
            return _leaf(node, name, self._book)
        children = self.build_all(node["c"])
        match node["k"]:
            case "seq":
                return Steps(name=name, steps=children)
            case "par":
                return Parallel(*children, name=name, max_concurrency=number or None)
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


def _leaf(leaf: NodeData, name: str, book: Book) -> Step:
    if leaf.get("sync"):
        return Step(name, executor=_plain(name))
    if leaf.get("talk"):
        return Step(name, executor=_talk(name, book))
    more: dict[str, Any] = {}
    if "fail" in leaf["acts"]:
        more["retry"] = Retry(attempts=3, delay=0.2)
    if leaf.get("timeout"):
        more["timeout"] = 60.0
    if leaf.get("confirm"):
        more |= {"requires_confirmation": True, "on_reject": leaf["confirm"]}
    if leaf.get("review"):
        more["requires_output_review"] = True
    return Step(name, executor=_acting(name, leaf["acts"], book), **more)


def _plain(name: str) -> Any:
    def plain(step_input: StepInput) -> str:
        return f"{name}<{short(step_input.previous_step_content)}>"

    return plain


def _talk(name: str, book: Book) -> Any:
    async def talk(step_input: StepInput, run_context: RunContext) -> AsyncIterator[str]:
        book.entered(run_context)
        for number in range(6):
            yield f"{name}.{number} "
            await anyio.sleep(book.pause())

    return talk


def _acting(name: str, acts: list[str], book: Book) -> Any:
    async def act_in_order(step_input: StepInput, run_context: RunContext) -> str:
        text = short(step_input.previous_step_content)
        book.entered(run_context)
        for act in acts:
            match act:
                case "sleep":
                    await anyio.sleep(book.pause())
                case "snooze":
                    await run_context.sleep(0.7)
                case "emit":
                    run_context.emit(at=run_context.path)
                case "ask":
                    value = await run_context.ask("how many?", int)
                    book.answered(run_context, value)
                    text += f"?{value}"
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
        return f"{name}<{text}>"

    return act_in_order
