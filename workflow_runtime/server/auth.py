"""Who asks. The app's owner says how that is found out; the service scopes every read and write by the answer."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import HTTPConnection

from .errors import Refused

__all__ = ["ANYBODY", "Authenticate", "User", "authenticated", "identified"]


class User(msgspec.Struct, frozen=True):
    """Who asks. ``user_id`` None: nobody was asked who they are, which is for a loopback address only.

    An admin sees and does everything for everybody. ``claims`` are what the token said, for the owner's own code.
    """

    user_id: str | None
    claims: dict[str, Any] = {}
    is_admin: bool = False

    @property
    def scope(self) -> str | None:
        """The user that reads and writes are limited to; None: no limit."""
        return None if self.is_admin else self.user_id


ANYBODY = User(None)

Authenticate = Callable[[HTTPConnection], "User | str | Awaitable[User | str | None] | None"]


async def authenticated(auth: Authenticate | None, connection: HTTPConnection) -> User:
    """The user of a request or socket. Refused (401) where ``auth`` knows nobody."""
    if auth is None:
        return ANYBODY
    return await identified(auth(connection))


async def identified(found: Any) -> User:
    """The user that an ``auth`` function returned, or what it returned can be awaited for. Refused (401) for nobody."""
    if inspect.isawaitable(found):
        found = await found
    user = User(found) if isinstance(found, str) else found
    if not isinstance(user, User) or not (user.user_id or user.is_admin) or "\x00" in (user.user_id or ""):
        raise Refused(401, "unauthenticated", "not authenticated; send the credentials that this server expects")
    return user
