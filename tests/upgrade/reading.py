"""What a reader sees of what is stored, in a form that can be compared and kept as text.

    cd tests && python -m upgrade.reading URL

prints it for a database; ``data/expected.json`` is what the first version saw of the data that it had written.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable
from typing import Any

from workflow_runtime import BaseDb, StepRequirement, Workflow
from workflow_runtime.storage.base import RunFilter
from workflow_runtime.storage.registry import open_url

from . import flows

__all__ = ["numbers", "see_run", "see_session"]


def numbers(log: Iterable[Any]) -> list[int]:
    """Every ``seq`` that the events stand for; one event stands for several where adjacent text was merged."""
    return [number for event in log for number in range(event.seq, (getattr(event, "last_seq", None) or event.seq) + 1)]


async def see_run(workflow: Workflow, run_id: str) -> dict[str, Any]:
    """A run as its verbs give it; values by their ``repr``."""
    output = await workflow.aget_run_output(run_id)
    assert output is not None
    questions = [*(output.step_requirements or ()), *(output.error_requirements or ())]
    return {
        "run": [str(output.status.value), output.session_id, output.user_id, output.epoch, output.last_seq],
        "input": repr(output.input),
        "content": repr(output.content),
        "steps": [_step(step) for step in output.step_results],
        "questions": [_question(item) for item in questions],
        "history": [
            [entry.path, entry.kind, entry.status, entry.attempt, repr(entry.changes)]
            for entry in await workflow.history(run_id)
        ]
        if run_id != "fork-of-pruned"
        else None,
        "log": [f"{event.id} {event.event} {event.path}".strip() for event in output.events or ()],
    }


def _step(step: Any) -> list[Any]:
    media = [len(items) for items in (step.images, step.audio, step.videos, step.files) if items]
    marks = [name for name in ("stop", "skipped") if getattr(step, name)] + ([] if step.success else ["failed"])
    inner = [_step(item) for item in step.steps or ()]
    return [step.step_name, step.step_type, repr(step.content), step.error, marks, media, inner]


def _question(item: Any) -> dict[str, Any]:
    seen = {"id": item.id, "kind": item.kind, "path": item.path, "schema": item.schema()}
    if isinstance(item, StepRequirement):
        seen["text"] = [item.confirmation_message, item.user_input_message, item.output_review_message]
        seen["before"] = repr(item.step_input.previous_step_content) if item.step_input is not None else None
    return {**seen, "answered": item.answered_at, "timeout": item.timeout_at and item.timeout_at.isoformat()}


async def see_session(workflow: Workflow, session_id: str) -> dict[str, Any]:
    session = await workflow.aget_session(session_id)
    assert session is not None
    metrics = session.session_metrics
    return {
        "session": [session.user_id, session.workflow_id, session.session_name],
        "state": {key: repr(value) for key, value in sorted((session.session_state or {}).items())},
        "metadata": repr(session.metadata),
        "data": repr(session.workflow_data),
        "metrics": [metrics.runs, metrics.total_tokens] if metrics is not None else None,
        "runs": [run.run_id for run in session.runs or ()],
        "chat": [[repr(turn.input), repr(turn.output)] for turn in await workflow.aget_chat_history(session_id)],
    }


async def _all(db: BaseDb) -> dict[str, Any]:
    workflows = flows.build(db)
    runs = await db.list_runs(RunFilter(), limit=1000)
    sessions = await db.list_sessions(limit=1000)
    return {
        "runs": {
            row.run_id: await see_run(workflows[str(row.workflow_id)], row.run_id)
            for row in reversed(runs)
            if row.workflow_id in workflows
        },
        "sessions": {
            row.session_id: await see_session(workflows[row.workflow_id or "chat"], row.session_id)
            for row in reversed(sessions)
            if row.workflow_id != "main-values"
        },
    }


def as_text(seen: dict[str, Any]) -> str:
    """JSON with one line per run, so that a change can be seen."""
    parts = []
    for part, items in seen.items():
        lines = [f"  {json.dumps(name)}: {json.dumps(item, ensure_ascii=False)}" for name, item in items.items()]
        parts.append(f"{json.dumps(part)}: {{\n" + ",\n".join(lines) + "\n}")
    return "{" + ",\n".join(parts) + "}\n"


async def main(url: str) -> None:
    db = open_url(url)
    print(as_text(await _all(db)), end="")
    await db.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
