"""A database class that was written for another version of the contract is refused when a workflow is built with it."""

from __future__ import annotations

import pytest

from workflow_runtime import BaseDb, BuildError, InMemoryDb, Step, Workflow
from workflow_runtime.backends import PostgresDb, SqliteDb
from workflow_runtime.storage import registry
from workflow_runtime.storage.base import CONTRACT


class OldDb(InMemoryDb):
    """As a class is that says nothing of the contract."""

    contract = BaseDb.contract


class NewDb(InMemoryDb):
    contract = CONTRACT + 1


TOO_OLD = (
    rf"test_contract_version\.OldDb keeps version 1 of the database contract, and this workflow-runtime needs version "
    rf"{CONTRACT}\. Upgrade the package .*run workflow_runtime\.testing\.DbContract .*set `contract = {CONTRACT}`"
)


def test_the_databases_of_this_version_keep_its_contract() -> None:
    assert {kind.contract for kind in (InMemoryDb, SqliteDb, PostgresDb)} == {CONTRACT}


def test_a_class_of_an_older_contract_is_refused_with_what_to_do() -> None:
    with pytest.raises(BuildError, match=TOO_OLD):
        Workflow(name="w", steps=[Step(name="a", executor=lambda: "a")], db=OldDb())


def test_it_is_refused_too_where_the_database_is_set_later() -> None:
    workflow = Workflow(name="w", steps=[Step(name="a", executor=lambda: "a")])
    workflow.db = OldDb()
    with pytest.raises(BuildError, match=TOO_OLD):
        workflow.run("x")


def test_it_is_refused_too_where_a_url_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "load_backend", lambda scheme: OldDb)
    with pytest.raises(BuildError, match=TOO_OLD):
        Workflow(name="w", steps=[Step(name="a", executor=lambda: "a")], db="old://here")
    with pytest.raises(BuildError, match=TOO_OLD):
        registry.open_url("old://here")


def test_a_class_of_a_newer_contract_asks_for_a_newer_workflow_runtime() -> None:
    with pytest.raises(BuildError, match=rf"version {CONTRACT + 1} of the .*knows version {CONTRACT}; upgrade"):
        Workflow(name="w", steps=[Step(name="a", executor=lambda: "a")], db=NewDb())
