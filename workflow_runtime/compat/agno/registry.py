"""agno's ``registry``: what ``from_dict`` may use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from workflow_runtime.model.errors import BuildError
from workflow_runtime.verbs import registry as strict

__all__ = ["Registry"]


class Registry(strict.Registry):
    """``workflow_runtime.Registry`` with agno's lists: ``functions``, ``schemas``, ``dbs``, ``agents``, ``teams``.

    Agents, teams and databases are known by their id too. ``name``, ``description`` and ``id`` are the registry's own;
    what concerns the inside of agents (``tools``, ``models``, ``knowledge`` and so on) is accepted and has no effect.
    """

    def __init__(
        self,
        *items: Any,
        name: str | None = None,
        description: str | None = None,
        id: str | None = None,
        tools: Iterable[Any] = (),
        models: Iterable[Any] = (),
        dbs: Iterable[Any] = (),
        vector_dbs: Iterable[Any] = (),
        schemas: Iterable[Any] = (),
        functions: Iterable[Any] = (),
        knowledge: Iterable[Any] = (),
        memory_managers: Iterable[Any] = (),
        session_summary_managers: Iterable[Any] = (),
        agents: Iterable[Any] = (),
        teams: Iterable[Any] = (),
        **named: Any,
    ) -> None:
        self.name, self.description, self.id = name, description, id
        self.functions, self.schemas, self.dbs = list(functions), list(schemas), list(dbs)
        self.agents, self.teams = list(agents), list(teams)
        super().__init__(*items, functions=(*self.functions, *self.schemas), **named)
        for item in (*self.agents, *self.teams, *self.dbs):
            self.add(item, getattr(item, "id", None))

    def add_function(self, func: Any) -> None:
        """Know another function."""
        self.functions.append(self.add(func))

    def add_schema(self, schema: Any) -> None:
        """Know another model."""
        self.schemas.append(self.add(schema))

    def add_db(self, db: Any) -> None:
        """Know another database, by its id."""
        self.dbs.append(self.add(db, getattr(db, "id", None)))

    def get_function(self, name: str) -> Any:
        """The function of that name, or None."""
        return self._get(name)

    def get_schema(self, name: str) -> Any:
        """The model of that name, or None."""
        return self._get(name)

    def get_agent(self, agent_id: str) -> Any:
        """The agent of that id, or None."""
        return self._get(agent_id)

    def get_team(self, team_id: str) -> Any:
        """The team of that id, or None."""
        return self._get(team_id)

    def get_db(self, db_id: str) -> Any:
        """The database of that id, or None."""
        return self._get(db_id)

    def _get(self, name: str) -> Any:
        try:
            return self.find(name, "the registry")
        except BuildError:
            return None
