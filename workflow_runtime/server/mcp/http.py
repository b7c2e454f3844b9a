"""MCP over streamable HTTP."""

from __future__ import annotations

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings

from ..service import Service
from .server import mcp_server

__all__ = ["session_manager"]

# Names and origins are the business of the app's guard, which has seen the request before.
_GUARDED = TransportSecuritySettings(enable_dns_rebinding_protection=False)


def session_manager(service: Service) -> StreamableHTTPSessionManager:
    """What answers requests while its ``run()`` is open. Clients of the protocol as it was before 2026-07-28 have a
    session in this process; later ones have none."""
    return StreamableHTTPSessionManager(
        app=mcp_server(service), security_settings=_GUARDED, max_request_body_size=service.limits.body
    )
