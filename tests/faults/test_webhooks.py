"""A process is killed between the sending of an event and the note of that: it is sent twice with one id, and never lost."""

from __future__ import annotations

from collections.abc import Callable

import anyio.to_thread
import pytest
from webhooks.receiver import Receiver

from workflow_runtime.storage.registry import open_url

from .processes import ForkServer

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("call", ["commit", "claim_deliveries", "settle_delivery"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_kill_around_a_delivery_loses_no_event(
    workers: ForkServer, new_url: Callable[[], str], call: str, after: bool
) -> None:
    url = new_url()
    with Receiver() as receiver:
        assert workers.run("deliver", url=url, hook=receiver.url, call=call, after=after) == -9
        sent = list(receiver.got)
        db = open_url(url)
        for row in await db.list_deliveries():  # let the claim of the dead process end now
            await db.settle_delivery(row, error="its process died", delay=0.0)
        assert workers.run("deliver", url=url, hook=receiver.url, call="", after=after) == 0
        assert await db.list_deliveries() == []
        await db.aclose()
        await anyio.to_thread.run_sync(receiver.wait, 1)
    assert len({item.id for item in receiver.got}) == 1
    assert {item.json["type"] for item in receiver.got} == {"WorkflowCompleted"}
    assert len(sent) == (call == "settle_delivery")
    assert len(receiver.got) == (2 if call == "settle_delivery" and not after else 1)
