"""Which adapter runs an object: found by the names of its classes, so no library is imported to recognise one.

The names are those of the top package and the class: ``pydantic_ai.AbstractAgent``. Modules between them move from one
version of a library to the next.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from ..model.errors import BuildError
from .adapter import Adapter

__all__ = ["GROUP", "adapter_for", "find", "is_executor", "register"]

GROUP = "workflow_runtime.executors"
"""The entry-point group of other packages' adapters: ``"shop_agents.Agent" = "shop_adapter:ShopAdapter"``."""

_ADAPTERS: dict[str, str | Callable[[], Adapter]] = {
    "agent_framework.BaseAgent": "workflow_runtime.executors.agent_framework:AgentFrameworkAdapter",
    "agent_framework.Workflow": "workflow_runtime.executors.agent_framework:AgentFrameworkAdapter",
    "agents.Agent": "workflow_runtime.executors.openai_agents:OpenAIAgentsAdapter",
    "agents.RealtimeAgent": "workflow_runtime.executors.openai_agents:OpenAIAgentsAdapter",
    "agno.Agent": "workflow_runtime.executors.agno:AgnoAdapter",
    "agno.Team": "workflow_runtime.executors.agno:AgnoAdapter",
    "google.App": "workflow_runtime.executors.adk:AdkAdapter",
    "google.BaseNode": "workflow_runtime.executors.adk:AdkAdapter",
    "google.Runner": "workflow_runtime.executors.adk:AdkAdapter",
    "langgraph.PregelProtocol": "workflow_runtime.executors.langgraph:LangGraphAdapter",
    "langgraph.StateGraph": "workflow_runtime.executors.langgraph:LangGraphAdapter",
    "llama_index.AgentWorkflow": "workflow_runtime.executors.llama_index:LlamaIndexAgentAdapter",
    "llama_index.BaseWorkflowAgent": "workflow_runtime.executors.llama_index:LlamaIndexAgentAdapter",
    "pydantic_ai.AbstractAgent": "workflow_runtime.executors.pydantic_ai:PydanticAIAdapter",
    "workflows.Workflow": "workflow_runtime.executors.llama_index:LlamaIndexWorkflowAdapter",
}
_MODULES = {
    "agents.Agent": "agents.agent",
    "agents.RealtimeAgent": "agents.realtime.agent",
    "google.App": "google.adk.apps.app",
    "google.BaseNode": "google.adk.workflow._base_node",
    "google.Runner": "google.adk.runners",
    "workflows.Workflow": "workflows.workflow",
}
"""The module of a class whose package has a name that programs give to packages of their own, or holds other libraries."""

_made: dict[str, Adapter] = {}
_installed: dict[str, str] | None = None


def register(name: str, adapter: str | Callable[[], Adapter]) -> None:
    """Run the objects of the class ``name`` ("package.Class") by ``adapter``: its class, or "module:Class"."""
    if not isinstance(name, str) or name.count(".") != 1:
        raise BuildError(
            f"register({name!r}, ...): the name is that of a top package and a class; write 'shop_agents.Agent'"
        )
    _ADAPTERS[name] = adapter
    _made.pop(name, None)


def find(executor: Any) -> Adapter | None:
    """The adapter of the library that ``executor`` is an object of; None for an object of no known library."""
    if isinstance(executor, type):
        return None
    names = _names(type(executor))
    for table in (_ADAPTERS, _entry_points() if _is_foreign(names) else {}):
        for name in names:
            if name in table and _is_of_library(type(executor), name):
                adapter = _make(name, table[name])
                if adapter.claims(executor):
                    return adapter
    return None


def is_executor(item: Any) -> bool:
    """True for an agent or team: an object (not a class) of a known library, or with a method that runs it."""
    from .objects import VERBS

    return any(callable(getattr(item, verb, None)) for verb in VERBS) or find(item) is not None


def adapter_for(executor: Any, where: str) -> Adapter:
    """The adapter that runs ``executor``: its library's, or the one for any object with a method that runs it.

    Raises:
        BuildError: Nothing can run it.
    """
    from .objects import ObjectAdapter

    adapter = find(executor) or ObjectAdapter()
    reason = adapter.refusal(executor)
    if reason is not None:
        raise BuildError(f"{where}: {reason}")
    return adapter


def _names(kind: type) -> list[str]:
    return [f"{cls.__module__.partition('.')[0]}.{cls.__name__}" for cls in kind.__mro__ if cls is not object]


def _is_of_library(kind: type, name: str) -> bool:
    module = _MODULES.get(name)
    return module is None or any(cls.__module__ == module for cls in kind.__mro__)


def _is_foreign(names: list[str]) -> bool:
    """False for objects of the language and of this package, for which no adapter is installed."""
    tops = {name.partition(".")[0] for name in names}
    return not tops <= {"workflow_runtime", "__main__", *sys.stdlib_module_names}


def _entry_points() -> dict[str, str]:
    global _installed
    if _installed is None:
        from importlib.metadata import entry_points

        _installed = {point.name: point.value for point in entry_points(group=GROUP)}
    return _installed


def _make(name: str, adapter: str | Callable[[], Adapter]) -> Adapter:
    made = _made.get(name)
    if made is None:
        if isinstance(adapter, str):
            module, _, attribute = adapter.partition(":")
            factory: Callable[[], Adapter] = getattr(import_module(module), attribute)
        else:
            factory = adapter
        made = _made[name] = factory()
    return made
