"""JSON Web Tokens: who asks, by a signature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio.to_thread
import jwt
import msgspec
from starlette.requests import HTTPConnection

from .auth import User

__all__ = ["JwtAuth"]


class JwtAuth(msgspec.Struct, frozen=True, kw_only=True):
    """``auth=JwtAuth(key=...)``: a signed token, from ``Authorization: Bearer`` or from a cookie.

    Args:
        key: The secret, or the public key as PEM.
        jwks_url: Where the issuer publishes its public keys, instead of ``key``; fetched when first needed, and cached.
        algorithms: Those that are accepted, and no other; symmetric ones take ``key`` as the secret.
        audience, issuer: What the token must be for, and from; None: not checked.
        user_claim: The claim that is the user's id.
        admin_claim: The claim that, where it is true, makes an admin; None: nobody is one.
        cookie: The cookie that has the token where a browser cannot send a header; None: none.
        leeway: Seconds by which clocks may differ.

    Raises:
        ValueError: Neither or both of ``key`` and ``jwks_url``.
    """

    key: str | bytes | None = None
    jwks_url: str | None = None
    algorithms: Sequence[str] = ("HS256",)
    audience: str | None = None
    issuer: str | None = None
    user_claim: str = "sub"
    admin_claim: str | None = None
    cookie: str | None = None
    leeway: float = 10.0

    def __post_init__(self) -> None:
        if (self.key is None) == (self.jwks_url is None):
            raise ValueError("JwtAuth needs key= or jwks_url=, and not both")
        if not self.algorithms or any(name.lower() == "none" for name in self.algorithms):
            raise ValueError("JwtAuth needs algorithms= such as ['RS256']; a token without a signature proves nothing")

    async def __call__(self, connection: HTTPConnection) -> User | None:
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            token = connection.cookies.get(self.cookie, "") if self.cookie else ""
        return await self.user(token.strip()) if token else None

    async def user(self, token: str) -> User | None:
        """Whom the token names; None where it is not valid, or names nobody."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                await self._key(token),
                algorithms=list(self.algorithms),
                audience=self.audience,
                issuer=self.issuer,
                leeway=self.leeway,
                options={"require": ["exp", self.user_claim], "verify_aud": self.audience is not None},
            )
        except jwt.PyJWTError:
            return None
        user_id = claims.get(self.user_claim)
        if not isinstance(user_id, str) or not user_id:
            return None
        return User(user_id, claims, bool(self.admin_claim and claims.get(self.admin_claim) is True))

    async def _key(self, token: str) -> Any:
        if self.jwks_url is None:
            return self.key
        client = _client(self.jwks_url)
        return (await anyio.to_thread.run_sync(client.get_signing_key_from_jwt, token)).key


_clients: dict[str, jwt.PyJWKClient] = {}


def _client(url: str) -> jwt.PyJWKClient:
    return _clients.setdefault(url, jwt.PyJWKClient(url, timeout=10))
