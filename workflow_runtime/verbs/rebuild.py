"""From data back to steps: the reverse of ``describe``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..model.budget import Budget
from ..model.compensation import Compensation
from ..model.errors import BuildError
from ..model.retry import Retry
from ..model.review import HumanReview
from ..steps.kinds import kind_of, registered_kinds
from .registry import Registry

__all__ = ["Rebuild"]

_SAME = ("type", "human_review", "retry", "workflow")


class Rebuild:
    """``kinds`` are the classes to build, by ``type``; ``workflow`` makes a nested workflow of its data."""

    def __init__(self, kinds: Mapping[str, Any], registry: Registry, workflow: Any) -> None:
        self.kinds = {**registered_kinds(), **kinds}
        self.registry = registry
        self.workflow = workflow

    def all(self, items: Sequence[Mapping[str, Any]]) -> list[Any]:
        return [self.one(item) for item in items]

    def one(self, data: Mapping[str, Any]) -> Any:
        """What ``data`` describes. BuildError: an unknown type or field, or a callable that the registry lacks."""
        kind = str(data.get("type"))
        if kind == "Workflow":
            return self.workflow(data)
        if kind == "List":
            return self.all(data["steps"])
        if kind in ("Function", "Agent", "Team"):
            name = data["executor_ref" if kind == "Function" else f"{kind.lower()}_ref"]
            return self.registry.find(name, f"from_dict: a {kind.lower()} among the steps")
        if kind not in self.kinds:
            raise BuildError(
                f"from_dict: {kind!r} is not a type of step; known: {', '.join(sorted(self.kinds))}."
                " register_kind() adds one of your own"
            )
        where = f"from_dict: {kind} {data.get('name')!r}"
        fields = {name: value for name, value in data.items() if name not in _SAME}
        fields["human_review"] = self.review(data.get("human_review"), where)
        if fields.get("budget") is not None:
            fields["budget"] = Budget(**fields["budget"])
        if isinstance(fields.get("on_error"), Mapping):
            fields["on_error"] = self.one(fields["on_error"])
        if kind == "Step":
            self._executor(fields, data, where)
        else:
            return self._container(fields, self.kinds[kind], where)
        return _called(self.kinds[kind], (), fields, where)

    def _container(self, fields: dict[str, Any], made: type, where: str) -> Any:
        kind = kind_of(made)
        assert kind is not None
        assert kind.children is not None
        for name in kind.children:
            if name in fields:
                value = fields[name]
                fields[name] = self.all(value) if isinstance(value, (list, tuple)) else self.one(value)
        for name in kind.callables:
            if fields.pop(f"{name}_type", None) == "function":
                fields[name] = self.registry.find(fields[name], f"{where} ({name})")
        placed = fields.pop(kind.children[0], ()) if kind.positional else ()
        return _called(made, placed, fields, where)

    def _executor(self, fields: dict[str, Any], data: Mapping[str, Any], where: str) -> None:
        for name in ("executor", "agent", "team"):
            reference = fields.pop(f"{name}_ref", None)
            if reference is not None:
                fields[name] = self.registry.find(reference, f"{where} ({name})")
        if "workflow" in data:
            fields["workflow"] = self.workflow(data["workflow"])
        if data.get("retry") is not None:
            fields["retry"] = self.retry(data["retry"], where)
        for name in ("compensate", "compensate_running"):
            if data.get(name) is not None:
                fields[name] = self.compensation(data[name], f"{where} ({name})")

    def compensation(self, data: Mapping[str, Any], where: str) -> Compensation:
        """The compensation that ``describe`` described."""
        retry = data.get("retry")
        return Compensation(
            self.registry.find(data["function"], where), retry and self.retry(retry, where), data.get("timeout")
        )

    def retry(self, data: Mapping[str, Any], where: str) -> Retry:
        """The policy that ``describe_retry`` described."""
        on = tuple(self.registry.find(name, f"{where} (retry)") for name in data["on"])
        when = data.get("when")
        return Retry(**{**data, "on": on, "when": when and self.registry.find(when, f"{where} (retry)")})

    def review(self, data: Mapping[str, Any] | None, where: str) -> HumanReview | None:
        """The guards that ``describe_review`` described."""
        if data is None:
            return None
        fields = dict(data)
        predicate, schema = fields.get("requires_output_review"), fields.get("user_input_schema")
        if isinstance(predicate, dict):
            fields["requires_output_review"] = self.registry.find(predicate["function"], f"{where} (review)")
        if isinstance(schema, dict):
            fields["user_input_schema"] = self.registry.find(schema["model"], f"{where} (form)")
        return HumanReview(**fields)


def _called(made: Any, placed: Sequence[Any], fields: Mapping[str, Any], where: str) -> Any:
    try:
        return made(*placed, **fields)
    except TypeError as error:
        raise BuildError(f"{where}: {error}") from error
