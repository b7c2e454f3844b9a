"""MCP over streamable HTTP."""

from __future__ import annotations

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp, Receive, Scope, Send

from ..auth import User
from ..service import Service
from .server import mcp_server

__all__ = ["owned", "session_manager"]

# Names and origins are the business of the app's guard, which has seen the request before.
_GUARDED = TransportSecuritySettings(enable_dns_rebinding_protection=False)


def session_manager(service: Service) -> StreamableHTTPSessionManager:
    """What answers requests while its ``run()`` is open. Clients of the protocol as it was before 2026-07-28 have a
    session in this process; later ones have none."""
    return StreamableHTTPSessionManager(
        app=mcp_server(service), security_settings=_GUARDED, max_request_body_size=service.limits.body
    )


def owned(manager: StreamableHTTPSessionManager) -> ASGIApp:
    """The manager as an app. It answers a request for the session of another user as if there were no such session: it
    compares users as the protocol's own authentication names them, which is not the one of this server."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        user = scope.get("workflow_user")
        if isinstance(user, User) and (user.user_id or user.is_admin):
            role = "admin" if user.is_admin else "user"
            token = AccessToken(token="", client_id=role, scopes=[], subject=user.user_id)
            scope = {**scope, "user": AuthenticatedUser(token)}
        await manager.handle_request(scope, receive, send)

    return handle
