"""``wfr db check``: is the database sound, can its runs be read, does one of them need somebody?"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from rich.console import Console
from rich.text import Text

from .. import BaseDb
from ..console.screen import encodable
from ..model import codec
from ..model.unreadable import Unreadable, told, unreadables
from ..storage.base import DbReport, RunFilter, RunRow
from ..view.clean import one_line, shorten
from ..view.rows import counted, duration
from .codes import Code
from .source import database, stand_in

__all__ = ["check"]

_PAGE = 200
_NAMED = 5


async def vacuum(url: str | None, console: Console, *, as_json: bool) -> Code:
    """What came back."""
    async with database(url) as db:
        freed = await db.vacuum()
    if as_json:
        console.out(json.dumps({"freed": freed}), highlight=False)
    elif freed is None:
        console.print(Text("this database has no space to give back"))
    else:
        console.print(Text(f"{freed:,} bytes given back"))
    return Code.ok


async def check(url: str | None, console: Console, *, limit: int, as_json: bool) -> Code:
    """Runs are counted all; of the newest ``limit`` everything that is stored is read. A value whose class this process
    lacks is no damage: it is counted."""
    statuses: Counter[str] = Counter()
    unreadable: dict[str, str] = {}
    lacking: Counter[str] = Counter()
    stranded: list[str] = []
    read = 0
    async with database(url) as db:
        now = time.time()
        report = await db.check()
        async for row in _runs(db):
            statuses[row.status.value] += 1
            if row.expired:
                stranded.append(row.run_id)
            if read < limit:
                read += 1
                problem, classes = await _problem(db, row)
                if problem:
                    unreadable[row.run_id] = problem
                lacking.update(classes)
        waiting = await db.list_requirements(limit=1000)
    oldest = min((row.created_at for row in waiting), default=None)
    is_sound = not report.problems and not unreadable
    if as_json:
        found = {
            "ok": is_sound,
            "place": report.place,
            "engine": report.engine,
            "version": report.version,
            "size": report.size,
            "problems": list(report.problems),
            "runs": dict(statuses),
            "read": read,
            "unreadable": unreadable,
            "classes": dict(lacking),
            "stranded": stranded,
            "waiting": len(waiting),
            "waiting_since": oldest,
        }
        console.out(json.dumps(found, ensure_ascii=False), highlight=False)
    else:
        lines = _lines(report, statuses, read, unreadable, stranded)
        if lacking:
            named = ", ".join(f"{name} ({counted(count, 'run')})" for name, count in lacking.most_common(_NAMED))
            more = ", ..." if len(lacking) > _NAMED else ""
            lines.append(("classes", f"values that only a process with their class can read: {named}{more}", ""))
        if oldest is not None:
            lines.append(
                ("waiting", f"{counted(len(waiting), 'question')}, the oldest for {duration(now - oldest)}", "")
            )
        lines.append(("result", "all is well", "green") if is_sound else ("result", "something is wrong", "red"))
        for word, said, style in lines:
            console.print(encodable(console, Text.assemble(f"{word:<9}", (one_line(said), style))), soft_wrap=True)
    return Code.ok if is_sound else Code.storage


async def _runs(db: BaseDb) -> AsyncIterator[RunRow]:
    before: tuple[float, str] | None = None
    while page := await db.list_runs(RunFilter(), limit=_PAGE, before=before):
        for row in page:
            yield row
        before = (page[-1].created_at, page[-1].run_id)


async def _problem(db: BaseDb, row: RunRow) -> tuple[str, set[str]]:
    """Why the run is damaged ("" when it is not), and the names of classes of its values that are not to be had here."""
    workflow = stand_in(db)
    try:
        parts: list[Any] = [await workflow.aget_run(row.run_id), *await workflow.history(row.run_id)]
        parts += [codec.decode_requirement(item.data, item) for item in await db.load_requirements(row.run_id)]
        after = 0
        while page := await db.load_events(row.run_id, after=after):
            parts += [codec.read_event(event.data, event) for event in page]
            after = page[-1].last_seq
        found = unreadables(parts)
    except Exception as error:  # whatever it is, it is what is looked for
        return shorten(one_line(f"{type(error).__name__}: {error}"), 300), set()
    problem = told([item for item in found if Unreadable.of(item).is_damaged])
    lacking = {Unreadable.of(item).class_name for item in found if not Unreadable.of(item).is_damaged}
    return shorten(one_line(problem or ""), 300), lacking


def _lines(
    report: DbReport, statuses: Counter[str], read: int, unreadable: dict[str, str], stranded: list[str]
) -> list[tuple[str, str, str]]:
    """(word, what is said, style) of each line."""
    about = [report.place, report.engine]
    if report.version:
        about.append(f"schema {report.version}")
    if report.size is not None:
        about.append(f"{report.size / 1e6:.1f} MB")
    kinds = ", ".join(f"{count:,} {status.lower()}" for status, count in statuses.most_common())
    lines = [
        ("database", ", ".join(about), ""),
        ("runs", f"{sum(statuses.values()):,}" + (f": {kinds}" * bool(kinds)), ""),
    ]
    lines += [("damage", problem, "red") for problem in report.problems]
    lines.append(("read", f"{counted(read, 'run')}, {len(unreadable)} of them cannot be read" if unreadable else
                  f"{counted(read, 'run')}, whole", "red" if unreadable else ""))  # fmt: skip
    lines += [("", f"{run_id}: {problem}", "red") for run_id, problem in list(unreadable.items())[:_NAMED]]
    if stranded:
        named = ", ".join(stranded[:_NAMED]) + ("" if len(stranded) <= _NAMED else ", ...")
        said = f"{counted(len(stranded), 'run')} lost their process; take them over: wfr recover MODULE:NAME ({named})"
        lines.append(("stranded", said, "yellow"))
    return lines
