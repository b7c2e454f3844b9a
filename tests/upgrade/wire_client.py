"""``python wire_client.py URL``: what a program does with a server, by whatever version is imported; prints what it saw."""

from __future__ import annotations

import asyncio
import json
import sys

from workflow_runtime.client import Client


async def main() -> None:
    seen: dict[str, object] = {}
    async with Client(sys.argv[1]) as client:
        run = client.run("shop", {"item": "lamp"}, session_id="s", stream_events=True)
        events = [event async for event in run]
        seen["events"] = [event.event for event in events]
        seen["text"] = "".join(
            event.delta for event in events if event.event == "StepContent" and event.path == "0.talk"
        )
        (billed,) = [event for event in events if event.event == "StepCompleted" and event.step_name == "bill"]
        seen["value"] = billed.content if isinstance(billed.content, str) else repr(billed.content)
        paused = await run.result()
        seen["paused"] = paused.status.value
        shop = client.workflow("shop")
        for answer in ({"confirmed": True}, {"user_input": {"value": 7}}):
            (question,) = paused.active_step_requirements
            question.answer(answer)
            paused = await shop.continue_run(paused)
        seen["end"] = [paused.status.value, paused.content]
        seen["log"] = [event.event async for event in shop.subscribe(paused.run_id)]
        seen["stored"] = (await shop.aget_run(paused.run_id)).status.value
        slow = client.workflow("slow")
        async with client.run("slow", "x", background=True) as started:
            run_id = (await anext(started)).run_id
        seen["cancelled"] = await slow.acancel_run(run_id)
        seen["rest"] = [event.event async for event in slow.subscribe(run_id)][-1]
    print(json.dumps(seen))


asyncio.run(main())
