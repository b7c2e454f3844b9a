"""A session: the state, name, metrics and past runs that the runs of one conversation share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from .metrics import SessionMetrics
from .text import as_text, is_something, shown

if TYPE_CHECKING:
    from .run import WorkflowRunOutput

__all__ = ["WorkflowChatInteraction", "WorkflowSession"]

_INNER = ("session_name", "session_state", "session_metrics")


class WorkflowChatInteraction(msgspec.Struct, kw_only=True):
    """One exchange: the input of a run and the content it ended with."""

    input: Any = None
    output: Any = None

    def to_dict(self) -> dict[str, Any]:
        data: dict[str, Any] = shown(self)
        return data


class WorkflowSession(msgspec.Struct, kw_only=True):
    """What the database knows of a session. ``runs`` are the runs that were loaded with it, oldest first;
    times are unix seconds."""

    session_id: str
    user_id: str | None = None
    workflow_id: str | None = None
    workflow_name: str | None = None
    runs: list[Any] | None = None
    session_name: str | None = None
    session_state: dict[str, Any] = msgspec.field(default_factory=dict)
    session_metrics: SessionMetrics | None = None
    workflow_data: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    created_at: int | None = None
    updated_at: int | None = None
    version: int = 0
    loaded_state: dict[str, bytes] | None = None  # what was stored when it was read; saving writes the difference

    @property
    def session_data(self) -> dict[str, Any]:
        """State, name and metrics under the keys that agno uses."""
        data: dict[str, Any] = {"session_state": self.session_state}
        if self.session_name is not None:
            data["session_name"] = self.session_name
        if self.session_metrics is not None:
            data["session_metrics"] = shown(self.session_metrics)
        return data

    def get_run(self, run_id: str) -> WorkflowRunOutput | None:
        """The loaded run of that id, or None."""
        return next((run for run in self.runs or () if run.run_id == run_id), None)

    def upsert_run(self, run: WorkflowRunOutput) -> None:
        """Put ``run`` in the place of the loaded run of the same id, or at the end."""
        runs = self.runs = list(self.runs or ())
        for i, known in enumerate(runs):
            if known.run_id == run.run_id:
                runs[i] = run
                return
        runs.append(run)

    def get_workflow_history(self, num_runs: int | None = None) -> list[tuple[str, str]]:
        """(input, response) as text of the last ``num_runs`` completed runs, oldest first; None means all."""
        if num_runs is not None and num_runs <= 0:
            return []
        done = [run for run in self.runs or () if run.status == "COMPLETED"]
        chosen = done if num_runs is None else done[-num_runs:]
        return [(as_text(run.input) or "", as_text(run.content) or "") for run in chosen]

    def get_workflow_history_context(self, num_runs: int | None = None) -> str | None:
        """The history as one text for a prompt; None when there is none."""
        history = self.get_workflow_history(num_runs)
        if not history:
            return None
        parts = ["<workflow_history_context>"]
        for number, (asked, answered) in enumerate(history, 1):
            parts.append(f"[Workflow Run-{number}]")
            if asked:
                parts.append(f"User input: {asked}")
            if answered:
                parts.append(f"Workflow output: {answered}")
            parts.append("")
        parts.append("</workflow_history_context>")
        return "\n".join(parts)

    def get_chat_history(self, last_n_runs: int | None = None) -> list[WorkflowChatInteraction]:
        """Input and content of the loaded runs that have both, oldest first, whatever their status."""
        if last_n_runs is not None and last_n_runs <= 0:
            return []
        runs = [run for run in self.runs or () if is_something(run.input) and is_something(run.content)]
        chosen = runs if last_n_runs is None else runs[-last_n_runs:]
        return [WorkflowChatInteraction(input=run.input, output=run.content) for run in chosen]

    def to_dict(self) -> dict[str, Any]:
        data: dict[str, Any] = {
            "session_id": self.session_id,
            "user_id": self.user_id,
            "workflow_id": self.workflow_id,
            "workflow_name": self.workflow_name,
            "runs": [run.to_dict() for run in self.runs] if self.runs else None,
            "session_data": shown(self.session_data),
            "workflow_data": shown(self.workflow_data),
            "metadata": shown(self.metadata),
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any], types: Iterable[type] | None = None) -> WorkflowSession:
        """The session that ``to_dict`` described. Its values are plain JSON; with ``types`` (which may be empty) tagged ones
        become builtin types, and instances of those classes.

        Raises:
            ValueError: It does not fit.
        """
        from .foreign import converted
        from .run import WorkflowRunOutput

        inner = data.get("session_data") if isinstance(data, Mapping) else None
        if not isinstance(data, Mapping) or not isinstance(inner, Mapping | None):
            raise ValueError("a session is read from a mapping of its fields")
        names = ("session_id", "user_id", "workflow_id", "workflow_name", "workflow_data", "metadata", "created_at")
        fields = {name: data[name] for name in (*names, "updated_at") if name in data}
        fields.update({name: inner[name] for name in _INNER if inner and inner.get(name) is not None})
        session = converted(fields, cls, types)
        runs = data.get("runs")
        if not isinstance(runs, list | None):
            raise ValueError("the runs of a session are a list")
        session.runs = [WorkflowRunOutput.from_dict(run, types) for run in runs] if runs else None
        return session
