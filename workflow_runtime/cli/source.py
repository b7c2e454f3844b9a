"""What a command is given: a workflow by its name, an input, a database, a length of time."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from .. import BaseDb, Workflow
from ..brokers.base import Broker
from ..brokers.registry import as_broker
from ..model.text import read_json, with_article
from ..storage.registry import open_url
from .codes import Code, Stop

__all__ = ["ENV", "database", "load", "load_all", "named", "parse_input", "parse_seconds", "stand_in"]

ENV = "WFR_DB"
BROKER_ENV = "WFR_BROKER"
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


def load(target: str, db: str | None) -> Workflow:
    """The workflow that ``module:name`` or ``path/to/file.py:name`` names; ``name`` may be a function that makes it.

    Raises:
        Stop: There is none; the message says what was looked for.
    """
    return load_all([target], db)[0]


def load_all(targets: Sequence[str], db: str | None, broker: str | None = None) -> list[Workflow]:
    """Several workflows; one database object for all that get theirs from ``db`` or the environment, and one broker for all
    where ``broker`` or the environment names one."""
    found = [_workflow(target) for target in targets]
    shared: BaseDb | None = None
    brokers: dict[str, Broker | None] = {}
    for workflow in found:
        url = db or (os.environ.get(ENV) if workflow.db is None else None)
        if url:
            shared = shared or open_url(url)
            workflow.db = shared
        place = broker or (os.environ.get(BROKER_ENV) if workflow.broker is None else None)
        if place and workflow.db is not None:
            if place not in brokers:
                brokers[place] = as_broker(place)
            workflow.broker = brokers[place]
    return found


def _workflow(target: str) -> Workflow:
    found = named(target)
    if not isinstance(found, Workflow) and callable(found):
        found = found()
    if not isinstance(found, Workflow):
        raise Stop(
            Code.usage, f"{target} is {with_article(type(found).__name__)}, not a Workflow or a function that makes one"
        )
    return found


def named(target: str) -> Any:
    """What ``module:name`` or ``path/to/file.py:name`` names. Stop says what was looked for."""
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name:
        raise Stop(Code.usage, f"{target!r} names no workflow; write module:workflow or path/to/file.py:workflow")
    module = _module(place)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            offered = [key for key, value in vars(module).items() if isinstance(value, Workflow)]
            hint = f"; it has {', '.join(offered)}" if offered else ""
            raise Stop(Code.usage, f"{place} has no {name!r}{hint}")
        found = getattr(found, part)
    return found


def _module(place: str) -> ModuleType:
    """A module of the path or of the working directory, or a file."""
    if place.endswith(".py"):
        path = Path(place).resolve()
        if not path.is_file():
            raise Stop(Code.usage, f"there is no file {place}")
        sys.path.insert(0, str(path.parent))
        known = sys.modules.get(path.stem)
        if known is not None and getattr(known, "__file__", None) == str(path):
            return known
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        return module
    if sys.path[:1] not in ([os.getcwd()], [""]):
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is not None and (place == error.name or place.startswith(f"{error.name}.")):
            raise Stop(Code.usage, f"there is no module {place!r} here or on the path") from error
        raise


def parse_input(given: str | None, as_text: bool) -> Any:
    """A JSON object or list as such, "-" as what stands in standard input, all else (and with ``as_text``) as text."""
    if given == "-":
        given = sys.stdin.read()
    if given is None or as_text:
        return given
    text = given.strip()
    if text.startswith(("{", "[")):
        try:
            return read_json(text)
        except ValueError as error:
            raise Stop(
                Code.usage, f"the input looks like JSON and is none: {error}; --text takes it as it is"
            ) from None
    return given


def parse_seconds(text: str) -> float:
    """``90s``, ``15m``, ``12h``, ``30d``, ``2w`` in seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip())
    if match is None:
        raise Stop(Code.usage, f"{text!r} is no length of time; write for example 90s, 15m, 12h, 30d or 2w")
    return float(match[1]) * _UNITS[match[2]]


@asynccontextmanager
async def database(url: str | None) -> AsyncIterator[BaseDb]:
    """The database of ``--db`` or of the environment, open; Stop when neither names one, or there is none at that place: a
    misspelt name makes no new database."""
    found = url or os.environ.get(ENV)
    if not found:
        raise Stop(Code.usage, f"which database? Pass --db sqlite:///runs.db, or set {ENV}")
    db = open_url(found)
    try:
        if not await db.exists():
            raise Stop(Code.storage, f"there is no database at {found}, and this command makes none; check the name")
        await db.open()
        yield db
    finally:
        await db.aclose()


def stand_in(db: BaseDb, workflow_id: str | None = None, name: str | None = None) -> Workflow:
    """A workflow without steps, for what can be done with a stored run without knowing its steps."""
    return Workflow(name=name, id=workflow_id or "wfr", steps=[], db=db, telemetry=False)
