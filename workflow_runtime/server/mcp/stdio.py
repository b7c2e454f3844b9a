"""MCP over standard input and output: one client, which started this process."""

from __future__ import annotations

from mcp.server.stdio import stdio_server

from ... import Runtime
from ..service import Service
from .server import mcp_server

__all__ = ["serve_stdio"]


async def serve_stdio(service: Service) -> None:
    """Serve until the client closes its end. What steps print goes to standard error, not into the protocol."""
    server = mcp_server(service)
    try:
        runtime = Runtime(*service.workflows.values(), grace=service.grace, recover=True, on_exit="release")
        async with runtime, stdio_server() as (reader, writer):
            await server.run(reader, writer, server.create_initialization_options())
    finally:
        for _, db in service.databases():
            await db.aclose()
