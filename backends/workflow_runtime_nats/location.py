"""From a URL to servers, a prefix of subjects, and options."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from workflow_runtime.model.errors import BuildError

__all__ = ["Settings", "locate", "token"]

_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,32}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """``servers`` are URLs, of which any may be down. ``place`` has no password."""

    servers: tuple[str, ...]
    place: str
    prefix: str = "wf"
    replicas: int = 1
    ack_wait: float = 30.0
    options: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def stream(self) -> str:
        """The name of the stream of hints."""
        return f"{self.prefix}_QUEUES"

    def queue_subject(self, queue: str, workflow_id: str) -> str:
        return f"{self.prefix}.queue.{token(queue)}.{token(workflow_id)}"

    def signal_subject(self, owner: str) -> str:
        return f"{self.prefix}.signal.{token(owner)}"

    def relay_subject(self, run_id: str) -> str:
        return f"{self.prefix}.event.{token(run_id)}"


def token(name: str) -> str:
    """A part of a subject: ``name`` itself where it can be one, else a digest."""
    return name if _TOKEN.fullmatch(name) else "~" + sha256(name.encode()).hexdigest()[:40]


def locate(
    url: str,
    *,
    prefix: str | None = None,
    replicas: int | None = None,
    ack_wait: float = 30.0,
    options: dict[str, Any] | None = None,
) -> Settings:
    """``nats://user:password@host:4222,other:4222?prefix=wf&replicas=3``.

    Raises:
        BuildError: It is not such a URL.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("nats", "tls"):
        raise BuildError(f"broker={_hidden(url)!r} is not a NATS URL; write nats://host:4222 or tls://host:4222")
    hosts, _, query = rest.partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    unknown = given.keys() - {"prefix", "replicas"}
    if unknown:
        raise BuildError(f"broker {scheme}://: {sorted(unknown)[0]!r} is not an option; there are prefix and replicas")
    prefix = prefix or given.get("prefix") or "wf"
    if not _PREFIX.fullmatch(prefix):
        raise BuildError(f"NatsBroker: prefix={prefix!r} must be 1 to 32 letters, digits, '_' or '-'")
    copies: Any = replicas if replicas is not None else given.get("replicas", "1")
    if str(copies) not in ("1", "3", "5"):
        raise BuildError(
            f"NatsBroker: replicas={copies!r} must be 1, 3 or 5: how many servers keep the stream of hints"
        )
    hosts = hosts.rstrip("/")
    user, at, addresses = hosts.rpartition("@")
    names = [name.strip() for name in addresses.split(",")]
    servers = tuple(f"{scheme}://{user}{at}{name}" for name in names)
    for name, server in zip(names, servers, strict=True):
        try:
            port = urlsplit(server).port
        except ValueError as error:
            raise BuildError(f"broker {scheme}://{name}: {error}; write nats://host:4222") from None
        if not name or port == 0:
            raise BuildError(f"broker={_hidden(url)!r} names no host; write nats://host:4222")
    return Settings(
        servers=servers,
        place=f"{scheme}://{','.join(names)}",
        prefix=prefix,
        replicas=int(copies),
        ack_wait=ack_wait,
        options=dict(options or {}),
    )


def _hidden(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://...@{tail}" if at else url
