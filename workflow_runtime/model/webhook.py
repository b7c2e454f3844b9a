"""Webhooks: addresses to which the events of runs are sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from . import checks
from .errors import BuildError
from .keywords import Suggesting
from .retry import Retry

__all__ = ["Webhook", "signed"]

_RETRY = Retry(attempts=10, delay=5.0, backoff=3.0, max_delay=3600.0)
_DELTAS = frozenset({"StepContent", "StepProgress"})


class Webhook(msgspec.Struct, metaclass=Suggesting, frozen=True, kw_only=True):
    """An address that gets the events of a workflow's runs, signed with the headers of Standard Webhooks. Needs a database:
    what is to be sent is stored with the event, and sent at least once by a Runtime or server of the workflow.

    ``url`` is of the programmer; redirects are not followed. ``events`` are names of events or their classes; those of the
    run itself ("WorkflowPaused") are sent of the outermost workflow only. ``secret`` is "whsec_" with 24 to 64 bytes as
    base64; several, while it is changed, sign each delivery; None does not sign. ``name`` identifies the webhook in the
    database, also after its ``url`` has changed; None: a name made from the url. ``retry`` says how often a delivery is
    tried and with which pauses; after that it is dead. ``timeout`` is of one attempt, in seconds.
    """

    url: str
    events: Sequence[Any] = ("WorkflowCompleted", "WorkflowPaused", "WorkflowCancelled", "WorkflowError")
    secret: str | Sequence[str] | None = None
    name: str | None = None
    retry: Retry = _RETRY
    timeout: float = 15.0

    def __post_init__(self) -> None:
        from urllib.parse import urlsplit  # loaded by those who have a webhook, as what else is imported below

        refusal = f"Webhook: url={self.url!r} must be an address such as 'https://example.com/hooks'"
        if not isinstance(self.url, str):
            raise BuildError(refusal)
        try:
            parts = urlsplit(self.url)
            _ = parts.port  # ValueError: out of range
        except ValueError as error:
            raise BuildError(refusal) from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BuildError(refusal)
        where = f"Webhook {parts.hostname!r}: "
        checks.identifier(self.name, "name", where)
        checks.seconds(self.timeout, "timeout", where, none=None)
        if not isinstance(self.retry, Retry):
            raise BuildError(f"{where}retry={self.retry!r} must be a Retry, such as Retry(attempts=10, delay=5)")
        if isinstance(self.events, str) or not isinstance(self.events, Iterable) or not self.events:
            raise BuildError(f"{where}events={self.events!r} must be a list of events, such as ['WorkflowPaused']")
        if self.secret is not None and not self.secrets:
            raise BuildError(
                f"{where}secret=[] must hold a secret of 24 to 64 bytes; write secret=None to sign nothing"
            )
        for secret in self.secrets:
            _key(secret, where)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets that sign each delivery."""
        if self.secret is None:
            return ()
        return (self.secret,) if isinstance(self.secret, str) else tuple(self.secret)

    @property
    def key(self) -> str:
        """What its deliveries are stored under."""
        import hashlib

        return self.name or f"hook-{hashlib.blake2b(self.url.encode(), digest_size=8).hexdigest()}"


def refuse_deltas(webhook: Webhook, names: Iterable[str]) -> None:
    """BuildError for events that are parts of a stream."""
    for name in names:
        if name in _DELTAS:
            raise BuildError(
                f"Webhook {webhook.url!r}: {name} is a part of a stream; name events such as 'StepCompleted'"
            )


def _key(secret: Any, where: str) -> bytes:
    import base64
    import binascii

    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (AttributeError, ValueError, binascii.Error):
        key = b""
    if not 24 <= len(key) <= 64:
        raise BuildError(f"{where}secret must be 'whsec_' and 24 to 64 bytes as base64; make one with os.urandom(32)")
    return key


def signed(secrets: Iterable[str], message_id: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of one attempt at ``at`` (unix seconds) to send ``body``."""
    import base64
    import hmac

    headers = {"webhook-id": message_id, "webhook-timestamp": str(at)}
    content = b"%s.%d.%s" % (message_id.encode(), at, body)
    signatures = [base64.b64encode(hmac.digest(_key(secret, ""), content, "sha256")).decode() for secret in secrets]
    if signatures:
        headers["webhook-signature"] = " ".join(f"v1,{signature}" for signature in signatures)
    return headers
