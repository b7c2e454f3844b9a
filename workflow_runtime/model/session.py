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


_OWN = ("session_state", "session_name", "session_metrics")


class WorkflowChatInteraction(msgspec.Struct, kw_only=True):
    """One exchange: the input of a run and the content it ended with."""

    input: Any = None
    output: Any = None

    def to_dict(self) -> dict[str, Any]:
        data: dict[str, Any] = shown(self)
        return data


class SessionData(dict[str, Any]):
    """A session's parts as one dictionary, which writes through to the session."""

    def __init__(self, session: WorkflowSession) -> None:
        super().__init__(session_state=session.session_state)
        if session.session_name is not None:
            super().__setitem__("session_name", session.session_name)
        if session.session_metrics is not None:
            super().__setitem__("session_metrics", session.session_metrics.to_dict())
        super().update(session.more_data)
        self._session = session

    def __setitem__(self, key: str, value: Any) -> None:
        if key == "session_metrics":
            raise KeyError("session_metrics are counted by the runs; they cannot be set")
        super().__setitem__(key, value)
        if key == "session_state":
            self._session.session_state = value
        elif key == "session_name":
            self._session.session_name = value
        else:
            self._session.more_data[key] = value

    def __delitem__(self, key: str) -> None:
        if key not in self._session.more_data:
            raise KeyError(f"{key!r} is no entry of your own; yours are {sorted(self._session.more_data)}")
        super().__delitem__(key)
        del self._session.more_data[key]

    def update(self, *given: Any, **more: Any) -> None:
        for key, value in dict(*given, **more).items():
            self[key] = value

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str, *default: Any) -> Any:
        if key not in self and default:
            return default[0]
        value = self[key]
        del self[key]
        return value


class WorkflowSession(msgspec.Struct, kw_only=True):
    """A session as it is stored. ``runs`` are the runs that were loaded with it, oldest first; times are unix seconds."""

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
    loaded_state: dict[str, bytes] | None = None  # the stored values when it was read; saving writes the difference
    loaded: tuple[bytes, tuple[int | None, int | None], list[str]] | None = None  # metrics, times, ids of runs: as read
    more_data: dict[str, Any] = msgspec.field(default_factory=dict)  # of the user's, in ``session_data``

    @property
    def session_data(self) -> SessionData:
        """State, name and metrics under the keys that agno uses, and ``more_data``. Changes to this dict belong to the
        session; ``save_session`` stores them."""
        return SessionData(self)

    @session_data.setter
    def session_data(self, data: Mapping[str, Any] | None) -> None:
        self.session_name, self.session_state, self.more_data = None, {}, {}
        SessionData(self).update({key: value for key, value in (data or {}).items() if key != "session_metrics"})

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
        """The history as one text for a prompt; None if there is none."""
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
        """Input and content of the loaded runs that have both, oldest first, whatever their status. For a cancelled run,
        the content is the unfinished text of its last step, if there is any."""
        if last_n_runs is not None and last_n_runs <= 0:
            return []
        runs = [run for run in self.runs or () if is_something(run.input) and is_something(run.content)]
        chosen = runs if last_n_runs is None else runs[-last_n_runs:]
        return [WorkflowChatInteraction(input=run.input, output=_said(run)) for run in chosen]

    def to_dict(self) -> dict[str, Any]:
        data: dict[str, Any] = {
            "session_id": self.session_id,
            "user_id": self.user_id,
            "workflow_id": self.workflow_id,
            "workflow_name": self.workflow_name,
            "runs": [run.to_dict() for run in self.runs] if self.runs else None,
            "session_data": shown(dict(self.session_data)),
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
        session.session_state = dict(session.session_state or {})
        session.more_data = {key: value for key, value in (inner or {}).items() if key not in _OWN}
        runs = data.get("runs")
        if not isinstance(runs, list | None):
            raise ValueError("the runs of a session are a list")
        session.runs = [WorkflowRunOutput.from_dict(run, types) for run in runs] if runs else None
        return session


def _said(run: WorkflowRunOutput) -> Any:
    last = run.step_results[-1] if run.status == "CANCELLED" and run.step_results else None
    cut_off = None if last is None else list(last.walk())[-1]
    return cut_off.content if cut_off is not None and not cut_off.success and cut_off.content else run.content
