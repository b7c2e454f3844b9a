"""Sending events to webhooks: claimed from the database, sent, settled. At least once, by one of many processes.

A delivery is stored in the commit of its event. A claim gives it to one process for a while; a process that dies between the
sending and the settling leaves it due again, and it is sent again with the same id.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import anyio
import msgspec

from ...core.filters import event_name, named_events
from ...model import codec
from ...model.errors import BuildError, StorageError
from ...model.text import error_name, error_text
from ...model.webhook import Webhook, refuse_deltas, signed
from ...storage.base import BaseDb, DeliveryRow

__all__ = ["Delivering", "hooks_of", "message_id_of"]

logger = logging.getLogger("workflow_runtime")

_AT_ONCE = 5  # deliveries that one Runtime sends to one webhook at the same time
_LEASE_MARGIN = 30.0  # seconds of a claim beyond the timeout of its attempt
_MOST_ERROR = 500  # characters of a reason that are stored
_GONE = 410


def hooks_of(webhooks: Iterable[Any], where: str) -> tuple[tuple[Webhook, ...], dict[str, tuple[str, ...]]]:
    """The webhooks of a workflow, and by name of event the keys of those that get it. BuildError for what is none."""
    found = tuple(webhooks)
    by_event: dict[str, tuple[str, ...]] = {}
    for webhook in found:
        if not isinstance(webhook, Webhook):
            raise BuildError(f"{where}webhooks holds {webhook!r}; write Webhook(url=...)")
        names = [event_name(name) for name in named_events(webhook.events, f"{where}events of a webhook") or ()]
        refuse_deltas(webhook, names)
        for name in dict.fromkeys(names):
            by_event[name] = (*by_event.get(name, ()), webhook.key)
    keys = [webhook.key for webhook in found]
    if len(set(keys)) < len(keys):
        raise BuildError(f"{where}two webhooks have the same name or url; give each a name of its own")
    return found, by_event


def message_id_of(row: DeliveryRow, epoch: int) -> str:
    """The ``webhook-id``: the same for each attempt, another one for each event and webhook."""
    place = f"{row.hook}\n{row.run_id}\n{epoch}\n{row.seq}"
    return f"msg_{hashlib.blake2b(place.encode(), digest_size=16).hexdigest()}"


class _Hook:
    """A webhook of a workflow. ``active`` counts its deliveries that are being sent."""

    def __init__(self, db: BaseDb, webhook: Webhook, clock: Any) -> None:
        self.db, self.webhook, self.clock = db, webhook, clock
        self.active = 0


class Delivering:
    """Sends the due deliveries of these workflows until it is told to stop, then those that are due at once. Each webhook
    has places of its own, so that a slow receiver holds up no other."""

    def __init__(self, workflows: Iterable[Any], interval: float) -> None:
        self._hooks: list[_Hook] = []
        for workflow in workflows:
            if workflow.db is not None:
                self._hooks += [_Hook(workflow.db, webhook, workflow.clock) for webhook in workflow.webhooks]
        self._interval = interval
        self._stopping = False
        self._wake = anyio.Event()
        self._client: Any = None

    @property
    def has_work(self) -> bool:
        return bool(self._hooks)

    def stop(self) -> None:
        """Return from ``serve`` once nothing is due."""
        self._stopping = True
        self._wake.set()

    async def serve(self) -> None:
        """Until ``stop`` is called, and then until nothing is due."""
        import httpx2  # of the extra "client", which is there: the workflow was built with it

        # A webhook is at the address that the programmer wrote, and nowhere else.
        async with httpx2.AsyncClient(follow_redirects=False) as self._client, anyio.create_task_group() as tasks:
            while True:
                self._wake = anyio.Event()
                if self._stopping:
                    self._wake.set()
                claimed = [await self._claim(hook, tasks) for hook in self._hooks]
                if any(claimed):
                    continue
                if not self._stopping:
                    with anyio.move_on_after(self._interval):
                        await self._wake.wait()
                elif not any(hook.active for hook in self._hooks):
                    return
                else:  # one that fails now may be due at once
                    await self._freed()

    async def _claim(self, hook: _Hook, tasks: Any) -> bool:
        """Begin to send what is due and has a place. Whether there was any."""
        if hook.active >= _AT_ONCE:
            return False
        lease = hook.webhook.timeout + _LEASE_MARGIN
        try:
            rows = await hook.db.claim_deliveries([hook.webhook.key], lease=lease, limit=_AT_ONCE - hook.active)
        except StorageError as error:
            logger.warning("webhook %s: the database could not be reached: %s", hook.webhook.key, error)
            return False
        for row in rows:
            hook.active += 1
            tasks.start_soon(self._deliver, hook, row)
        return bool(rows)

    async def _freed(self) -> None:
        self._wake = anyio.Event()
        await self._wake.wait()

    async def _deliver(self, hook: _Hook, row: DeliveryRow) -> None:
        try:
            await self._send_and_settle(hook.db, row, hook.webhook, hook.clock)
        except StorageError as error:  # it is due again after its lease
            logger.warning("webhook %s: a delivery could not be settled: %s", row.hook, error)
        except Exception:
            logger.exception("webhook %s: a delivery failed", row.hook)
        finally:
            hook.active -= 1
            self._wake.set()

    async def _send_and_settle(self, db: BaseDb, row: DeliveryRow, webhook: Webhook, clock: Any) -> None:
        found = await db.load_events(row.run_id, after=row.seq - 1, limit=1)
        if not found or found[0].seq != row.seq:
            logger.warning(
                "webhook %s: event %s of run %s was pruned before it was sent", row.hook, row.seq, row.run_id
            )
            await db.settle_delivery(row)
            return
        event = codec.decode_event(found[0].data, found[0])
        status, error = await self._send(webhook, event, message_id_of(row, found[0].epoch), int(clock.time()))
        if error is None:
            await db.settle_delivery(row)
            return
        is_last = status == _GONE or row.attempts >= webhook.retry.attempts
        delay = None if is_last else webhook.retry.pause(row.attempts, clock.random())
        if is_last:
            logger.error(
                "webhook %s: event %s of run %s is dead after %d attempts: %s; `wfr webhooks retry` sends it again",
                row.hook,
                row.seq,
                row.run_id,
                row.attempts,
                error,
            )
        await db.settle_delivery(row, error=error, delay=delay)

    async def _send(self, webhook: Webhook, event: Any, message_id: str, at: int) -> tuple[int, str | None]:
        """The status of the answer (0: none), and why it was not delivered."""
        try:
            body = body_of(event)  # what cannot be sent is dead after its attempts, too
            headers = {"content-type": "application/json", **signed(webhook.secrets, message_id, at, body)}
            with anyio.fail_after(webhook.timeout):
                async with self._client.stream("POST", webhook.url, content=body, headers=headers) as answer:
                    status = answer.status_code  # its body is not read: it says nothing, and may be endless
        except TimeoutError:
            return 0, f"no answer within {webhook.timeout:g} s"
        except Exception as error:
            return 0, f"{error_name(error)}: {error_text(error)}"[:_MOST_ERROR]
        return status, None if 200 <= status < 300 else f"it answered {status}"


def body_of(event: Any) -> bytes:
    """The bytes that are sent and signed: the type, the time and the data of Standard Webhooks."""
    when = datetime.fromtimestamp(event.created_at, UTC).isoformat().replace("+00:00", "Z")
    return msgspec.json.encode({"type": event.event, "timestamp": when, "data": event.to_dict()})
