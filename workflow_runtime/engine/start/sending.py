"""Messages into a run: stored, then signalled. A callback is a message whose sender shows a token instead of credentials."""

from __future__ import annotations

import binascii
import hashlib
import secrets
from base64 import urlsafe_b64decode
from functools import partial
from typing import Any

import msgspec

from ...model import checks, codec
from ...model.callback import MessageReceipt
from ...model.errors import CallbackNotFound, InputError, RunNotFound
from ...model.json_schema import problems
from ...model.text import builtins
from ...storage.base import BaseDb, MessageRow, Sent
from ..bus.step_rows import row_to_record
from ..bus.stored import requirements_of
from ..loop.loops import spawn
from ..loop.process import current
from ..people.inbox import waits_in
from ..people.receiving import CALLBACK, checked_topic
from ..run.execution import Execution
from ..run.host import find_live, find_parked

__all__ = ["call_back", "read_soon", "send", "send_here"]


async def send(
    db: BaseDb | None,
    run_id: str,
    topic: str,
    value: Any,
    *,
    now: float,
    message_id: str | None = None,
    only_if_awaited: bool = False,
    expires_at: float | None = None,
) -> MessageReceipt:
    """Store a message for a run, and tell the run. Raises as ``Workflow.asend`` says."""
    checks.required(run_id, "run_id")
    checked_topic(topic, "send(): ")
    checks.identifier(message_id, "message_id", "send(): ", error=InputError)
    checks.flag(only_if_awaited, "only_if_awaited", "send(): ", error=InputError)
    row = MessageRow(
        run_id=run_id,
        message_id=message_id or current().new_id(),
        topic=topic,
        created_at=now,
        data=codec.encode_value(value, f"the message on {topic!r}"),
        expires_at=expires_at,
        only_if_awaited=only_if_awaited,
    )
    sent = _send_here(row, value) if db is None else await _send_stored(db, row, value)
    return MessageReceipt(
        run_id=run_id,
        topic=topic,
        message_id=row.message_id,
        number=sent.number,
        created_at=sent.created_at,
        repeated=sent.repeated,
        awaited=sent.awaited,
    )


async def _send_stored(db: BaseDb, row: MessageRow, value: Any) -> Sent:
    _refuse_misfit(await requirements_of(db, row.run_id), row.topic, value)
    sent = await db.send(row)
    live = find_live(row.run_id)
    if live is not None and not sent.repeated:
        read_soon(live)
    return sent


def read_soon(live: Execution) -> None:
    """A message is stored for a run of this process, which need not wait for its heartbeat. From any thread."""
    live.loop.call(partial(spawn, partial(_read, live), f"messages of {live.id}"))


async def _read(run: Execution) -> None:
    recorder = run.recorder
    if recorder is not None and not run.ended:
        run.arrived(await recorder.db.load_messages(run.id, after=run.people.messages_taken))


def _send_here(row: MessageRow, value: Any) -> Sent:
    run = find_live(row.run_id) or find_parked(row.run_id)
    if run is None:
        raise RunNotFound(
            f"no run {row.run_id!r} is at work in this process, and the workflow has no db to look it up in; give it one"
        )
    if run.has_questions:
        _refuse_misfit(run.pauses.open, row.topic, value)
    return send_here(run, row)


def send_here(run: Execution, row: MessageRow) -> Sent:
    """Give a message to a run that no database keeps."""
    sent = run.people.inbox(run).send(msgspec.structs.replace(row), run)
    if not sent.repeated:
        arrived = partial(run.arrived, [msgspec.structs.replace(row, number=sent.number)])
        arrived() if run.loop.is_here() else run.loop.call(arrived)
    return sent


def _refuse_misfit(requirements: list[Any], topic: str, value: Any) -> None:
    """InputError where a step waits for a message on the topic, and its schema refuses this one."""
    wait = next((item for item in waits_in(requirements) if item.is_open and item.topic == topic), None)
    if wait is not None and wait.input_json_schema is not None:
        wrong = problems(builtins({"value": value}), wait.input_json_schema)
        if wrong:
            raise InputError(f"the message on {topic!r} does not fit, nothing was sent:\n" + "\n".join(wrong))


# -- callbacks -----------------------------------------------------------------------------------------------------------


async def call_back(db: BaseDb, token: str, value: Any, *, now: float) -> MessageReceipt:
    """Send the message of a callback. A repetition of the same value changes nothing.

    Raises:
        CallbackNotFound: No run of this database has made it.
        CallbackExpired, MessageConflict, RunEnded: It expired, another message was sent with it, or its run has ended.
        InputError: The message does not fit what the step waits for; the callback can be used again.
    """
    run_id, place, secret = _parts(token)
    for row in await db.load_steps(run_id, path=place):
        record = row_to_record(row)
        made = record.value
        if record.kind == CALLBACK and secrets.compare_digest(made["secret"].encode(), secret.encode()):
            name = hashlib.sha256(secret.encode()).hexdigest()[:32]
            return await send(
                db, run_id, made["topic"], value, now=now, message_id=f"callback:{name}", expires_at=made["expires_at"]
            )
    raise CallbackNotFound("no run has made this callback; check the address")


def _parts(token: Any) -> tuple[str, str, str]:
    where, _, secret = str(token).partition(".")
    try:
        run_id, _, place = urlsafe_b64decode(where + "=" * (-len(where) % 4)).decode().partition("\n")
    except (ValueError, binascii.Error):
        run_id = place = ""
    wrong = (not run_id, not secret, checks.unstorable(run_id), checks.unstorable(place), checks.unstorable(secret))
    if any(wrong) or "!callback:" not in place:
        raise CallbackNotFound("no run has made this callback; check the address")
    return run_id, place, secret
