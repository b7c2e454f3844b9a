"""Shipped for tests: ``DbContract`` and ``DbModel``, which every database backend subclasses; ``BrokerContract``, which
every broker does; ``ExecutorContract``, which
the test of an adapter for an agent library subclasses; executors that play a
script (``ScriptedAgent``, ``ScriptedTeam``, ``Reply``); a person who does (``answers``); a clock that a test moves
(``FakeClock``).

Nothing here is imported by the rest of the package; pytest and hypothesis are loaded when a name is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agents import Reply, ScriptedAgent, ScriptedOutput, ScriptedTeam
    from .broker_contract import BrokerContract
    from .clock import FakeClock
    from .contract import DbContract
    from .executor_contract import ExecutorContract
    from .executor_script import Script, ToolCall, Turn
    from .model import DbModel
    from .people import ScriptedPerson, answers

__all__ = [
    "BrokerContract",
    "DbContract",
    "DbModel",
    "ExecutorContract",
    "FakeClock",
    "Reply",
    "Script",
    "ScriptedAgent",
    "ScriptedOutput",
    "ScriptedPerson",
    "ScriptedTeam",
    "ToolCall",
    "Turn",
    "answers",
]

_ASSERTING = (
    "broker_contract",
    "contract_commits",
    "contract_leases",
    "contract_limits",
    "contract_queues",
    "contract_reads",
    "contract_schedules",
    "contract_watch",
    "executor_cases",
    "executor_contract",
    "executor_kills",
    "model",
)
_MODULES = {
    "BrokerContract": "broker_contract",
    "DbContract": "contract",
    "DbModel": "model",
    "ExecutorContract": "executor_contract",
    "FakeClock": "clock",
    "Script": "executor_script",
    "ToolCall": "executor_script",
    "Turn": "executor_script",
    "Reply": "agents",
    "ScriptedAgent": "agents",
    "ScriptedOutput": "agents",
    "ScriptedPerson": "people",
    "answers": "people",
    "ScriptedTeam": "agents",
}

if not TYPE_CHECKING:  # to a type checker a module with __getattr__ has every name, also misspelt ones

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import sys
        from importlib import import_module

        if _MODULES[name] in (
            "broker_contract",
            "contract",
            "executor_cases",
            "executor_contract",
            "executor_kills",
            "model",
        ):
            import pytest

            # Before the import, or a failing assert of the contract would not say what it compared.
            modules = [f"{__name__}.{module}" for module in _ASSERTING]
            pytest.register_assert_rewrite(*(module for module in modules if module not in sys.modules))

        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
