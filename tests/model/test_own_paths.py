"""A path of a class of the user's own is stored as the path that it is."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from workflow_runtime import BaseDb, Step, Workflow
from workflow_runtime.model.codec import decode_value, encode_value


class Place(type(pathlib.Path())):  # type: ignore[misc]  # the class for this system
    """A path with a method of its own."""


class PurePlace(pathlib.PurePosixPath):
    """A path of another system."""


class Deeper(PurePlace):
    """One level below."""


@pytest.mark.parametrize("value", [Place("a/b"), PurePlace("a/b"), Deeper("a/b"), pathlib.Path("a/b")])
def test_a_path_of_an_own_class_can_be_read(value: Any) -> None:
    found = decode_value(encode_value({"path": [value]}))["path"][0]
    assert type(found).__module__.partition(".")[0] == "pathlib"
    assert found == type(found)("a/b")
    assert isinstance(value, type(found))


@pytest.mark.anyio
async def test_a_path_of_an_own_class_in_a_stored_run_can_be_read(db: BaseDb) -> None:
    workflow = Workflow(name="w", steps=[Step("a", executor=lambda step_input: PurePlace("a/b"))], db=db)
    stored = await workflow.aget_run_output((await workflow.arun("x")).run_id)
    assert stored is not None
    assert stored.content == pathlib.PurePosixPath("a/b")
