"""``wfr mcp``: workflows as tools of the program that starts it. The extra ``mcp``."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import anyio

from .codes import Code, Stop
from .source import load_all

__all__ = ["mcp"]


def mcp(targets: Sequence[str], *, db: str | None, grace: float) -> None:
    """Speak the protocol on standard input and output until the client closes them."""
    if importlib.util.find_spec("mcp") is None:
        raise Stop(Code.usage, "wfr mcp needs the extra: pip install 'workflow-runtime[cli,mcp,server]'")
    from ..server import Service
    from ..server.mcp.stdio import serve_stdio

    try:
        service = Service(load_all(targets, db), grace=grace)
    except ValueError as error:
        raise Stop(Code.usage, str(error)) from None
    anyio.run(serve_stdio, service)
