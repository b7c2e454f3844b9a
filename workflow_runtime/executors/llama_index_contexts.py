"""How the context of a paused workflow of LlamaIndex is read back."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# The library is only in the environments of those that use it.

from __future__ import annotations

import sys
from typing import Any

from pydantic import BaseModel
from workflows.context.serializers import JsonSerializer

__all__ = ["LoadedModels"]


class LoadedModels(JsonSerializer):  # type: ignore[misc]  # the library is not there when types are checked
    """Reads a stored context. The library's own serializer imports what the stored text names; this one makes models of
    modules that are loaded, and ValueError says which class is not there."""

    def resolve_class(self, qualified_name: str) -> type[Any]:
        module, _, name = qualified_name.rpartition(".")
        found = vars(sys.modules[module]).get(name) if module in sys.modules else None
        if isinstance(found, type) and issubclass(found, BaseModel):
            return found
        raise ValueError(f"{qualified_name} is no model of a module that is loaded here; import the module before")
