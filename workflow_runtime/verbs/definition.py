"""A workflow as data: ``to_dict`` and ``from_dict``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

from ..core.filters import event_name
from ..model.budget import Budget
from ..model.errors import BuildError
from ..model.reading import Strict
from ..model.retention import Retention
from ..model.unreadable import problem_of
from ..model.values import seal
from ..steps.steps import Steps
from ..storage.base import BaseDb
from .base import Verbs
from .describe import describe, describe_budget
from .rebuild import Rebuild
from .registry import Registry, qualified_name

__all__ = ["DefinitionVerbs"]

# Those with a plain value, under their own names; None is left out.
_PLAIN = (
    "name",
    "id",
    "description",
    "user_id",
    "session_id",
    "overwrite_db_session_state",
    "add_workflow_history_to_steps",
    "num_history_runs",
    "stream",
    "stream_events",
    "stream_executor_events",
    "store_events",
    "store_executor_outputs",
    "debug_mode",
    "cache_session",
    "telemetry",
    "durability",
    "session_policy",
    "run_timeout",
    "lease",
    "evict_after",
    "buffer_size",
)
_VALUES = ("session_state", "metadata", "dependencies")


class DefinitionVerbs(Verbs):
    kinds: ClassVar[Mapping[str, Any]]  # the classes of steps, by the type that data names
    steps: Any
    input_schema: Any
    retention: Retention | None

    def to_dict(self) -> dict[str, Any]:
        """The configuration and every step as data that ``json.dumps`` takes; callables by ``module:qualname``.

        A ``db`` is described, not contained; ``clock`` and ``websocket_handler`` are left out.

        Raises:
            UnserializableError: ``session_state``, ``metadata`` or ``dependencies`` hold what data cannot say.
        """
        data: dict[str, Any] = {name: value for name in _PLAIN if (value := getattr(self, name)) is not None}
        for name in _VALUES:
            if getattr(self, name) is not None:
                data[name] = seal(getattr(self, name), f"Workflow {self.name!r}: {name}")
        if self.events_to_skip:
            data["events_to_skip"] = [event_name(event) for event in self.events_to_skip]
        for name in ("budget", "session_budget"):
            if getattr(self, name) is not None:
                data[name] = describe_budget(getattr(self, name))
        if self.input_schema is not None:
            data["input_schema"] = self._reference(self.input_schema)
        if self.retention is not None:
            found = {name: getattr(self.retention, name) for name in self.retention.__struct_fields__}
            data["retention"] = seal(found)
        if self.db is not None:
            data["db"] = {"type": type(self.db).__name__, "id": getattr(self.db, "id", None)}
        steps = self.steps
        if isinstance(steps, (Steps, list, tuple)):
            one = self._describe
            data["steps"] = one(steps) if isinstance(steps, Steps) else [one(item) for item in steps]
        elif steps is not None:
            data["steps_ref"] = self._reference(steps)
        return data

    def _describe(self, item: Any) -> dict[str, Any]:
        """One of the steps as data; a subclass may have another form."""
        return describe(item)

    def _reference(self, item: Any) -> str:
        """The name of a callable or class in the data."""
        return qualified_name(item)

    @classmethod
    def _rebuild(cls, registry: Registry) -> Rebuild:
        """What turns the data of steps back into steps."""
        return Rebuild(cls.kinds, registry, lambda inner: cls.from_dict(inner, registry=registry))

    @classmethod
    def from_dict(
        cls,
        data: Mapping[str, Any],
        registry: Registry | Mapping[str, Any] | Iterable[Any] | None = None,
        db: BaseDb | str | None = None,
    ) -> Self:
        """The workflow that ``to_dict`` described, nested ones included.

        ``registry`` holds the callables, agents and models that it names: a Registry, a mapping of names, or a list; and
        the classes of values in ``session_state``, ``metadata`` and ``dependencies``. Nothing else that the data names is
        made, called or imported. ``db`` is the database; the one described is only a description.

        Raises:
            BuildError: A name that the registry lacks, an unknown type of step, an unknown field.
        """
        known = Registry.of(registry)
        where = f"from_dict: Workflow {data.get('name')!r}" if isinstance(data, Mapping) else "from_dict"
        try:
            return cls._from_dict(data, known, db, where)
        except (TypeError, KeyError, AttributeError) as error:  # data of another shape than that of to_dict
            raise BuildError(f"{where}: {type(error).__name__}: {error}") from error
        except RecursionError:
            raise BuildError(f"{where}: its steps are nested too deeply") from None

    @classmethod
    def _from_dict(cls, data: Mapping[str, Any], known: Registry, db: BaseDb | str | None, where: str) -> Self:
        build = cls._rebuild(known)
        fields = {name: value for name, value in data.items() if name not in ("type", "db", "steps", "steps_ref")}
        reader = Strict(known.classes())
        for name in (*_VALUES, "retention"):
            if name in fields:
                fields[name] = reader.value(fields[name], ("", name))
                problem = problem_of(fields[name])
                if problem is not None:
                    raise BuildError(f"{where}: {problem}; pass registry=Registry(...) with the class")
        for name in ("budget", "session_budget"):
            if name in fields:
                fields[name] = Budget(**fields[name])
        if "retention" in fields:
            fields["retention"] = Retention(**fields["retention"])
        if "input_schema" in fields:
            fields["input_schema"] = known.find(fields["input_schema"], f"{where} (input_schema)")
        steps = data.get("steps")
        if "steps_ref" in data:
            fields["steps"] = known.find(data["steps_ref"], f"{where} (steps)")
        elif steps is not None:
            fields["steps"] = build.one(steps) if isinstance(steps, Mapping) else build.all(steps)
        made: Any = cls  # the signature is that of Workflow, or of a subclass
        workflow: Self = made(**fields, db=db)
        return workflow
