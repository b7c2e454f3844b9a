"""A value has one JSON form, over every protocol. A client that asks for types gets them as tags."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2 as httpx
import pytest
from pydantic import BaseModel
from websockets.sync.client import connect

from workflow_runtime import CustomEvent, RunContext, Step, StepInput, Workflow
from workflow_runtime.model.wire import TYPED, WIRE

from .flows import url_of
from .serving import Served
from .sse import frames_of

Api = Callable[..., httpx.Client]


class Colour(Enum):
    red = "r"


class Plan(Enum):
    monthly = Decimal("9.90")
    since = date(2030, 1, 1)
    seats = (Decimal(1), date(2030, 1, 1))
    alias = Colour.red
    custom = repr


class Order(BaseModel):
    item: str
    due: date


@dataclass
class Place:
    row: int


class Moved(CustomEvent):
    place: Place


VALUES: dict[str, Any] = {
    "model": Order(item="lamp", due=date(2030, 1, 1)),
    "dataclass": Place(7),
    "date": date(2030, 1, 1),
    "timedelta": timedelta(hours=1),
    "decimal": Decimal("9.90"),
    "uuid": UUID(int=7),
    "enum": Colour.red,
    "enum of a decimal": Plan.monthly,
    "enum of a date": Plan.since,
    "enum of a tuple": Plan.seats,
    "enum of another enum": {"a": [Plan.alias]},
    "enum of a function": Plan.custom,
    "set": {3},
    "tuple": (1, (2, 3)),
    "bytes": b"\x00\xff",
    "path": Path("a/b"),
    "pairs": {(1, 2): 3},
    "numbers": {1: "one"},
    "deep": {"a": [{"b": Decimal(1)}]},
    "looks like a tag": {"$": "date", "v": "2030-01-01"},
    "text": "half of it: é ☃",
    "nothing": None,
}


def valued(value: Any, db: str) -> Workflow:
    def make(step_input: StepInput, run_context: RunContext) -> Any:
        run_context.emit(Moved(place=Place(7), value=value))
        run_context.session_state["value"] = value
        return value

    return Workflow(name="Valued", steps=[Step("make", executor=make)], db=db, store_events=True)


def contents(events: list[dict[str, Any]]) -> tuple[Any, Any]:
    """What the step's event and the user's own event say of the value."""
    (completed,) = [event for event in events if event["event"] == "StepCompleted"]
    (own,) = [event for event in events if "place" in event]
    return completed.get("content"), own.get("value")


def over_socket(server: Served, run_id: str, **headers: str) -> list[dict[str, Any]]:
    frames = []
    with connect(f"ws://127.0.0.1:{server.port}/workflows/ws", additional_headers=headers) as socket:
        assert json.loads(socket.recv(timeout=60))["wire"] == WIRE
        socket.send(json.dumps({"action": "subscribe", "run_id": run_id}))
        while not frames or frames[-1]["event"] != "WorkflowCompleted":
            frames.append(json.loads(socket.recv(timeout=60)))
    return frames


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_looks_the_same_over_every_protocol(served: Callable[..., Served], tmp_path: Path, kind: str) -> None:
    value = VALUES[kind]
    workflow = valued(value, url_of(tmp_path))
    local = Workflow(name="Local", steps=workflow.steps, store_events=True).run("x")
    own = [json.loads(event.to_json()) for event in local.events or ()]
    plain = json.loads(json.dumps(local.to_dict().get("content")))
    assert contents(own) == (plain, plain)

    server = served(workflow)
    with httpx.Client(base_url=server.url) as http:
        posted = http.post("/workflows/valued/runs", json={"input": 1, "session_id": "s"})
        assert posted.headers["x-workflow-wire"] == str(WIRE)
        run_id = posted.json()["run_id"]
        assert posted.json().get("content") == plain
        assert http.get(f"/workflows/valued/runs/{run_id}").json().get("content") == plain
        stored = http.get(f"/workflows/valued/runs/{run_id}/events")
        live = http.post("/workflows/valued/runs", json={"input": 1, "stream": True, "stream_events": True})
        for answer in (stored, live):
            assert answer.headers["x-workflow-wire"] == str(WIRE)
            assert contents([frame.data for frame in frames_of(answer.text.splitlines())]) == (plain, plain)
    assert contents(over_socket(server, run_id)) == (plain, plain)


@pytest.mark.parametrize("kind", ["date", "decimal", "set", "tuple", "pairs", "looks like a tag"])
def test_a_client_that_asks_for_types_gets_them(served: Callable[..., Served], tmp_path: Path, kind: str) -> None:
    from workflow_runtime.model.codec import event_from_dict

    server = served(valued(VALUES[kind], url_of(tmp_path)))
    with httpx.Client(base_url=server.url, headers={"Accept": f"text/event-stream, {TYPED}"}) as http:
        run_id = http.post("/workflows/valued/runs", json={"input": 1}).json()["run_id"]
        frames = frames_of(http.get(f"/workflows/valued/runs/{run_id}/events").text.splitlines())
    for events in ([frame.data for frame in frames], over_socket(server, run_id, Accept=TYPED)):
        (completed,) = [event for event in events if event["event"] == "StepCompleted"]
        assert event_from_dict(completed).content == VALUES[kind]  # type: ignore[union-attr]
