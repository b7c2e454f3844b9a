"""``run_context.receive``, ``messages`` and ``callback``: what a step gets from outside, once each. (D7, D8)

The receipt of a message is a record of the journal, stored before the step goes on: entered again, the step gets it back.
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import msgspec

from ...core.kept import copy_of
from ...core.plan import Node
from ...model import checks
from ...model.callback import Callback
from ...model.errors import InputError, MessageRefused, MessageTimeout, StepChanged
from ...model.requirements import StepRequirement
from ...storage.base import ORDERS, MessageRow
from ..bus import pauses as asking
from .inbox import RECEIVED, value_of

if TYPE_CHECKING:
    from ..run.frame import Frame

__all__ = ["CALLBACK", "MOST_TOPIC", "make_callback", "messages", "receive", "schema_of"]

CALLBACK = "callback"
"""The kind of the journal's records of callbacks."""

MOST_TOPIC = 200
"""The most bytes of a topic."""


def checked_topic(topic: Any, where: str) -> str:
    if not isinstance(topic, str) or not topic:
        raise InputError(f"{where}topic={topic!r} must be a text that is not empty, such as 'payment'")
    checks.identifier(topic, "topic", where, most=MOST_TOPIC, error=InputError)
    if topic == ORDERS:
        raise InputError(
            f"{where}the topic {topic!r} is for cancel_step(), skip_step() and retry_step(); choose another"
        )
    return topic


def schema_of(schema: Any) -> dict[str, Any]:
    """The JSON Schema of the answer to a wait: an object with the message as its ``value``.

    Raises:
        InputError: ``schema`` is no pydantic model and no type that JSON can be converted to.
    """
    if schema is None:
        value: dict[str, Any] = {}
    elif hasattr(schema, "model_json_schema"):
        value = schema.model_json_schema()
    else:
        try:
            value = msgspec.json.schema(schema)
        except (TypeError, RuntimeError) as error:
            raise InputError(
                f"receive(): schema={schema!r} must be a pydantic model, a dataclass, or a type such as int or list[str]"
            ) from error
    defs = value.pop("$defs", None)
    found: dict[str, Any] = {"type": "object", "properties": {"value": value}, "required": ["value"]}
    return found if defs is None else {"$defs": defs, **found}  # references count from the root


async def receive(
    frame: Frame, node: Node, path: str, attempt: int, number: str, topic: str, schema: Any, timeout: float | None
) -> Any:
    """The message that the call ``number`` of the step at ``path`` receives."""
    run = frame.run
    place = f"{path}!receive:{number}"
    record = frame.recorded(place)
    if record is None:
        receipt = await _receipt(frame, node, path, attempt, number, topic, schema, timeout)
        frame.remember(place, receipt, RECEIVED)
        await frame.commit()
    else:
        receipt = _same_topic(record.value, path, f"receive() {_shown(number)}", topic)
    if receipt.get("timed_out"):
        raise MessageTimeout(f"{path}: no message came on {topic!r} in time (run {run.id})")
    if receipt.get("declined"):
        raise MessageRefused(f"{path}: a person declined to give a message on {topic!r}: {receipt['declined']}")
    return _typed(copy_of(receipt["value"]), schema, f"{path}: message {receipt['id']!r} on {topic!r}", receipt["id"])


def _shown(number: str) -> str:
    return str(int(number) + 1) if number.isdecimal() else number.strip("-")


def _same_topic(receipt: dict[str, Any], path: str, call: str, topic: str) -> dict[str, Any]:
    if receipt["topic"] != topic:
        raise StepChanged(
            f"{path}: {call} was for {receipt['topic']!r} when the step first ran and is for {topic!r} now; a step that"
            " receives must ask for the same topics in the same order"
        )
    return receipt


async def _receipt(
    frame: Frame, node: Node, path: str, attempt: int, number: str, topic: str, schema: Any, timeout: float | None
) -> dict[str, Any]:
    run = frame.run
    described = schema_of(schema)
    key = _key(frame, f"{run.id}:{path}@receive{number}")
    wait = run.pauses.get(key)
    if wait is None:
        inbox = run.people.inbox(run)
        await inbox.read(run)
        run.people.take_messages(run)
        row = inbox.take(topic)
        if row is not None:
            return {
                "run": run.id,
                "topic": topic,
                "ids": [row.message_id],
                "id": row.message_id,
                "value": value_of(row),
            }
        now = frame.now()
        wait = asking.question(
            node,
            path,
            run.id,
            now,
            key.rpartition("@")[2],
            kind="receive",
            topic=topic,
            requires_user_input=True,
            user_input_message=f"Waits for a message on {topic!r}",
            input_json_schema=described,
            timeout_at=asking.deadline(now, timeout),
            on_timeout="skip",
            on_reject="skip",
        )
        frame.open_question(node, path, wait, attempt)
    assert isinstance(wait, StepRequirement)
    _same_topic({"topic": wait.topic}, path, f"receive() {_shown(number)}", topic)
    if wait.answered_at is None:
        await run.parking.wait(key, path)
        answered = run.pauses.get(key)
        assert isinstance(answered, StepRequirement)
        wait = answered
    if run.pauses.use(key, frame.now()):
        frame.continued(node, path, key)
    receipt: dict[str, Any] = {"run": run.id, "topic": topic, "ids": [], "id": wait.message_id or wait.id}
    if wait.message_id is not None:
        receipt["ids"] = [wait.message_id]
    if wait.confirmed is False:
        return (
            {**receipt, "timed_out": True}
            if wait.timed_out
            else {**receipt, "declined": wait.rejection_feedback or "-"}
        )
    return {**receipt, "value": (wait.user_input or {}).get("value")}


def _key(frame: Frame, key: str) -> str:
    """The id of a wait. One that was withdrawn, since its attempt failed, is not opened again: another one is."""
    known = frame.run.pauses.by_id
    found, count = key, 0
    while found in known and known[found].withdrawn_at is not None:
        count += 1
        found = f"{key}.{count}"
    return found


def _typed(value: Any, schema: Any, what: str, message_id: str) -> Any:
    try:
        if schema is None or (isinstance(schema, type) and type(value) is schema):
            return value
        if hasattr(schema, "model_validate"):
            return schema.model_validate(value)
        return msgspec.convert(value, schema)
    except ValueError as error:
        raise MessageRefused(f"{what} does not fit: {error}", message_id=message_id, value=value) from error


async def messages(frame: Frame, path: str, number: str, topic: str) -> list[Any]:
    """What came on ``topic`` and no step has received; the call ``number`` of the step at ``path``."""
    run = frame.run
    place = f"{path}!messages:{number}"
    record = frame.recorded(place)
    if record is not None:
        receipt = _same_topic(record.value, path, f"messages() {_shown(number)}", topic)
        return list(copy_of(receipt["values"]))
    inbox = run.people.inbox(run)
    await inbox.read(run)
    run.people.take_messages(run)
    rows: list[MessageRow] = inbox.take_all(topic)
    values = [value_of(row) for row in rows]
    frame.remember(
        place, {"run": run.id, "topic": topic, "ids": [row.message_id for row in rows], "values": values}, RECEIVED
    )
    if rows:
        await frame.commit()
    return [*copy_of(values)]


async def make_callback(frame: Frame, path: str, number: str, topic: str, expires: float) -> Callback:
    """The callback that the call ``number`` of the step at ``path`` makes; the same each time that the step is entered."""
    place = f"{path}!callback:{number}"
    record = frame.recorded(place)
    if record is None:
        kept: dict[str, Any] = {
            "topic": topic,
            "secret": secrets.token_urlsafe(32),
            "expires_at": frame.now() + expires,
        }
        frame.remember(place, kept, CALLBACK)
        await frame.commit()
    else:
        kept = _same_topic(record.value, path, f"callback() {_shown(number)}", topic)
    where = urlsafe_b64encode(f"{frame.run.id}\n{place}".encode()).decode().rstrip("=")
    return Callback(token=f"{where}.{kept['secret']}", topic=topic, expires_at=kept["expires_at"])
