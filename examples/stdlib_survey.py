"""A survey of the installed Python standard library: streamed to the terminal, stored in SQLite, read back.

The steps: find the packages; parse and measure each of them, several at a time (Map); look closer if few functions have a
docstring (Condition); raise the bar until only a handful of functions counts as complex (Loop); write the report in the
requested format (Router). Nothing is fetched and nothing but the standard library is read.

Run it as ``python examples/stdlib_survey.py [--format table|markdown] [--db sqlite:///stdlib_survey.db]``.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import os
import sys
import sysconfig
import time
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from workflow_runtime import (
    Condition,
    ConditionExecutionStartedEvent,
    Event,
    Loop,
    LoopIterationCompletedEvent,
    Map,
    MapExecutionCompletedEvent,
    MapExecutionStartedEvent,
    Router,
    RouterExecutionStartedEvent,
    RunContext,
    Step,
    StepCompletedEvent,
    StepContentEvent,
    StepInput,
    StepOutput,
    Workflow,
    WorkflowCompletedEvent,
    WorkflowStartedEvent,
)

SESSION = "stdlib"
SKIPPED = {"__pycache__", "site-packages", "dist-packages", "test", "tests", "idle_test", "lib-dynload"}
WANTED = 10  # the loop continues until at most this many functions count as complex
BRANCHES = (ast.If, ast.For, ast.While, ast.ExceptHandler, ast.IfExp, ast.BoolOp, ast.comprehension, ast.match_case)

# -- the steps ---------------------------------------------------------------------------------------------------------


def find(step_input: StepInput) -> list[dict[str, Any]]:
    """The packages of the standard library, each with its source files. Runs in a worker thread, as it does I/O."""
    root = Path(sysconfig.get_paths()["stdlib"])
    packages: dict[str, list[str]] = {}
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - SKIPPED)
        for name in sorted(names):
            path = Path(folder, name)
            if path.suffix == ".py":
                packages.setdefault(path.relative_to(root).parts[0].removesuffix(".py"), []).append(str(path))
    return [{"package": package, "files": files} for package, files in sorted(packages.items())]


def measure(step_input: StepInput) -> dict[str, Any]:
    """The numbers of one package: its lines, its functions, and which of them branch a lot."""
    package = step_input.input["package"]
    found: dict[str, Any] = {"package": package, "lines": 0, "functions": 0, "documented": 0, "branching": []}
    for path in step_input.input["files"]:
        source = Path(path).read_bytes()
        found["lines"] += source.count(b"\n")
        try:
            tree = ast.parse(source)
        except SyntaxError:  # templates and files that are wrong on purpose
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found["functions"] += 1
                found["documented"] += ast.get_docstring(node, clean=False) is not None
                branches = 1 + sum(isinstance(inner, BRANCHES) for inner in ast.walk(node))
                if branches >= 10:
                    found["branching"].append([branches, f"{package}: {node.name}, {Path(path).name}:{node.lineno}"])
    return found


def measured(step_input: StepInput) -> list[dict[str, Any]]:
    """The results of ``measure``, by package."""
    output = step_input.get_step_output("packages")
    return [inner.content for inner in output.steps or ()] if output else []


def few_docstrings(step_input: StepInput) -> bool:
    packages = measured(step_input)
    documented, functions = (sum(p[name] for p in packages) for name in ("documented", "functions"))
    return bool(documented < functions / 2)


def least_documented(step_input: StepInput) -> list[str]:
    """Large packages that explain the least of themselves."""
    large = [p for p in measured(step_input) if p["functions"] >= 100]
    worst = sorted(large, key=lambda p: p["documented"] / p["functions"])[:5]
    return [f"{p['package']} ({p['documented'] / p['functions']:.0%} of {p['functions']})" for p in worst]


def well_documented(step_input: StepInput) -> list[str]:
    return []


def raise_the_bar(step_input: StepInput) -> dict[str, Any]:
    """The functions with at least as many branches as the threshold, which rises with each iteration."""
    before = step_input.get_step_output("raise_the_bar")
    bar = before.content["bar"] * 3 // 2 if before else 20
    functions = [row for package in measured(step_input) for row in package["branching"] if row[0] >= bar]
    return {"bar": bar, "functions": sorted(functions, reverse=True)}


def few_enough(outputs: list[StepOutput]) -> bool:
    return len(outputs[-1].content["functions"]) <= WANTED


def chosen_format(step_input: StepInput) -> str:
    return str(step_input.input["format"])


def table(step_input: StepInput, run_context: RunContext) -> Iterator[str]:
    """The report, streamed line by line."""
    packages = sorted(measured(step_input), key=lambda p: p["lines"], reverse=True)
    yield f"{'package':<16}{'lines':>9}{'functions':>12}{'documented':>13}\n"
    for p in packages[:8]:
        share = p["documented"] / max(1, p["functions"])
        yield f"{p['package']:<16}{p['lines']:>9,}{p['functions']:>12,}{share:>13.0%}\n"
    yield from summary(step_input, run_context, packages)


def markdown(step_input: StepInput, run_context: RunContext) -> Iterator[str]:
    packages = sorted(measured(step_input), key=lambda p: p["lines"], reverse=True)
    yield "| package | lines | functions | documented |\n|---|---:|---:|---:|\n"
    for p in packages[:8]:
        share = p["documented"] / max(1, p["functions"])
        yield f"| {p['package']} | {p['lines']:,} | {p['functions']:,} | {share:.0%} |\n"
    yield from summary(step_input, run_context, packages)


def summary(step_input: StepInput, run_context: RunContext, packages: list[dict[str, Any]]) -> Iterator[str]:
    lines, functions = (sum(p[name] for p in packages) for name in ("lines", "functions"))
    yield f"\n{lines:,} lines and {functions:,} functions in {len(packages)} packages.\n"
    least = step_input.get_step_content("docstrings")
    if least:
        yield f"Least documented: {', '.join(least)}.\n"
    complex_ones = step_input.get_step_content("complex functions")["functions"]
    for branches, where in complex_ones[:3]:
        yield f"{branches} branches in {where}\n"
    # The state outlives the run: the next survey on the same database finds it.
    state = run_context.session_state
    state["surveys"] = state.get("surveys", 0) + 1
    state["lines"] = lines


def build(db: str) -> Workflow:
    """The workflow; a plain value, which may run any number of times at once."""
    return Workflow(
        name="Standard library survey",
        db=db,
        session_id=SESSION,
        steps=[
            find,
            Map(measure, over="previous", name="packages", max_concurrency=4),
            Condition(
                name="docstrings", evaluator=few_docstrings, steps=[least_documented], else_steps=[well_documented]
            ),
            Loop(
                name="complex functions",
                steps=[raise_the_bar],
                end_condition=few_enough,
                max_iterations=12,
                forward_iteration_output=True,
            ),
            Router(name="report", selector=chosen_format, choices=[Step("table", executor=table), markdown]),
        ],
    )


# -- the terminal ------------------------------------------------------------------------------------------------------


class Screen:
    """Prints events as they come: a moving bar and colours on a terminal, plain lines elsewhere."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.live = out.isatty()
        self.colours = self.live and "NO_COLOR" not in os.environ
        self.began = time.perf_counter()
        self.done = self.total = 0
        self.writing = False

    def paint(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.colours else text

    def line(self, mark: str, name: str, text: str) -> None:
        clear = "\r\033[K" if self.live else ""
        seconds = self.paint("2", f"{time.perf_counter() - self.began:5.1f} s")
        self.out.write(f"{clear}{seconds}  {self.paint('32', mark)} {self.paint('1', f'{name:<18}')} {text}\n")
        self.out.flush()

    def bar(self, text: str) -> None:
        if self.live:
            width = 24 * self.done // max(1, self.total)
            self.out.write(f"\r\033[K         {'█' * width}{'░' * (24 - width)} {self.done}/{self.total} {text}")
            self.out.flush()

    def show(self, event: Event) -> None:
        match event:
            case WorkflowStartedEvent():
                self.line("▶", "run", event.run_id or "")
            case MapExecutionStartedEvent():
                self.total = event.item_count
                self.line("▶", "packages", f"{event.item_count} to parse, 4 at a time")
            case StepCompletedEvent(step_name="find"):
                self.line("✓", "find", f"{sum(len(item['files']) for item in event.content):,} source files")
            case StepCompletedEvent(step_name="measure"):
                self.done += 1
                self.bar(event.content["package"])
            case MapExecutionCompletedEvent():
                lines = sum(output.content["lines"] for output in event.step_results or ())
                self.line("✓", "packages", f"{lines:,} lines parsed")
            case ConditionExecutionStartedEvent():
                said = "fewer than half of the functions have one: look closer" if event.condition_result else "fine"
                self.line("◆", "docstrings", said)
            case LoopIterationCompletedEvent() if event.iteration_results:
                found = event.iteration_results[-1].content
                said = f"{len(found['functions'])} functions with {found['bar']} branches or more"
                self.line("↻", "complex functions", f"{said}{', again' if event.should_continue else ''}")
            case RouterExecutionStartedEvent():
                self.line("→", "report", f"as {', '.join(event.selected_steps or ())}\n")
            case StepContentEvent():
                self.out.write(str(event.delta))
                self.out.flush()
            case WorkflowCompletedEvent():
                self.out.write("\n")
                self.line("✓", "run", f"completed; event number {event.seq} was the last")
            case _:
                pass


async def main() -> None:
    parser = argparse.ArgumentParser(description="Survey the installed Python standard library.")
    parser.add_argument("--format", choices=("table", "markdown"), default="table")
    parser.add_argument("--db", default="sqlite:///stdlib_survey.db", help="where runs are stored")
    options = parser.parse_args()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot show ✓ shows ? instead of failing

    workflow = build(options.db)
    screen = Screen(sys.stdout)
    print(f"The standard library of Python {sys.version.split()[0]}\n")
    async for event in workflow.arun({"format": options.format}, stream=True, stream_events=True):
        screen.show(event)

    # Another object, as another process would have: all that it knows comes from the database.
    reader = build(options.db)
    stored = await reader.aget_last_run_output(SESSION)
    state = await reader.aget_session_state(SESSION)
    history = await reader.aget_chat_history(SESSION)
    assert stored is not None
    print(f"\nRead back from {options.db}")
    print(f"  last run       {stored.status.value}, {len(stored.step_results)} steps, {len(stored.content)} characters")
    print(f"  session state  {state}")
    print(f"  chat history   runs so far: {len(history)}; the last was asked for {history[-1].input}")


if __name__ == "__main__":
    asyncio.run(main())
