"""Endpoints of other protocols, each behind an extra of its own that is loaded when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import anyio.to_thread
from starlette.responses import Response

from ..errors import Refused
from .call import Call

__all__ = ["run_agent"]


async def run_agent(call: Call) -> Response:
    module = await _loaded("agui", "workflow_runtime.server.agui.endpoint", "ag_ui")
    answer: Response = await module.run_agent(call)
    return answer


async def _loaded(extra: str, module: str, package: str) -> Any:
    """The module, loaded in a thread. Refused (501) where its extra is not installed."""
    try:
        return await anyio.to_thread.run_sync(import_module, module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != package:
            raise
        raise Refused(501, "not_installed", f"this server needs workflow-runtime[{extra}] for that") from None
