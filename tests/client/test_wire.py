"""What a server says is read with its types, and never makes this process import or build what it names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from server.serving import Served

from workflow_runtime import (
    BuildError,
    CustomEvent,
    RunContext,
    RunNotFound,
    StepInput,
    UnknownEvent,
    Workflow,
)
from workflow_runtime.client import Client, NotAuthenticated, NotAuthorized, ServerError
from workflow_runtime.client.wire import Wire

from .flows import database, greeting


@dataclass
class Report:
    pages: int


class Filed(CustomEvent):
    pages: int


def completed(content: Any) -> str:
    return msgspec.json.encode({"event": "StepCompleted", "seq": 3, "content": content}).decode()


def test_only_classes_that_were_given_come_back_as_themselves() -> None:
    sealed = {"$": "dataclass", "t": f"{__name__}:Report", "v": {"pages": 7}}
    assert Wire().event(completed(sealed)).content == {"pages": 7}
    assert Wire([Report]).event(completed(sealed)).content == Report(7)
    assert Wire().event(completed({"$": "tuple", "v": [1, {"$": "date", "v": "2026-01-02"}]})).content == (
        1,
        date(2026, 1, 2),
    )
    custom = msgspec.json.encode({"event": "CustomEvent", "type": f"{__name__}:Filed", "pages": 7, "seq": 1}).decode()
    assert type(Wire().event(custom)) is CustomEvent
    found = Wire([Filed]).event(custom)
    assert isinstance(found, Filed)
    assert found.pages == 7
    with pytest.raises(BuildError, match="no class"):
        Wire(["Report"])  # type: ignore[list-item]  # what a user may get wrong


def test_nothing_is_imported_or_called_because_a_server_names_it(tmp_path: Path) -> None:
    sys.modules.pop("this", None)
    for tag in ("flag", "namedtuple", "enum", "model", "struct", "dataclass", "path"):
        for named in ("this:Zen", "pathlib:Path", "os:_exit", "subprocess:Popen"):
            Wire().event(completed({"$": tag, "t": named, "v": [str(tmp_path / "made")]}))
    Wire().event(msgspec.json.encode({"event": "Mine", "type": "this:Zen", "seq": 1}).decode())
    assert "this" not in sys.modules
    assert isinstance(Wire().event('{"event": "FromTheFuture", "seq": 9}'), UnknownEvent)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["$", "v", "t", "StepStarted"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["$", "v", "t", "event", "seq"]), inner)
    ),
)


@given(_JSON)
def test_what_is_no_event_is_an_error_of_ours(found: Any) -> None:
    with suppress(ServerError):  # and nothing else
        Wire().event(msgspec.json.encode(found).decode())


@pytest.mark.anyio
async def test_values_of_events_keep_their_types_over_the_wire(served: Callable[..., Served], tmp_path: Path) -> None:
    def price(step_input: StepInput, run_context: RunContext) -> Decimal:
        run_context.emit(Filed(pages=3))
        return Decimal("9.50")

    server = served(Workflow(name="Price", steps=[price], db=database(tmp_path), store_events=True))
    async with Client(server.url, types=[Filed]) as client:
        events = [event async for event in client.run("price", "x")]
        assert [event.pages for event in events if isinstance(event, Filed)] == [3]
        assert events[-1].content == Decimal("9.50")


@pytest.mark.anyio
async def test_a_client_is_who_its_token_says_and_sees_only_its_own(
    served: Callable[..., Served], tmp_path: Path
) -> None:
    users = {"Bearer a": "ada", "Bearer b": "bob"}
    server = served(greeting(tmp_path), auth=lambda request: users.get(request.headers.get("authorization", "")))
    async with Client(server.url, token="a") as ada, Client(server.url, headers={"Authorization": "Bearer b"}) as bob:
        output = await ada.run("greeting", "x", session_id="s1")
        assert output.user_id == "ada"
        assert output.run_id is not None
        assert await bob.workflow("greeting").aget_run(output.run_id) is None
        assert (await bob.workflow("greeting").alist_runs()).items == []
        with pytest.raises(RunNotFound):
            await bob.workflow("greeting").acancel_run(output.run_id)
        with pytest.raises(NotAuthorized):
            await bob.run("greeting", "x", user_id="ada")
    async with Client(server.url) as nobody:
        with pytest.raises(NotAuthenticated):
            await nobody.run("greeting", "x")
