"""Small pieces that all pages use: safe text, marks, badges, times, addresses."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import htpy as h
from markupsafe import Markup

from ...model.text import shown
from ...view.clean import clean, one_line, shorten
from ...view.drawing.icons import ICONS
from ...view.rows import duration
from ...view.tree import as_text

__all__ = [
    "Links",
    "badge",
    "folded_traceback",
    "kept",
    "key_of",
    "mark",
    "name_of",
    "preview",
    "status_state",
    "took",
    "value",
    "when",
]

LONGEST_VALUE = 10_000  # of a page with several of them; the whole run is there as JSON
_STATES = {
    "PENDING": "pending",
    "RUNNING": "running",
    "PAUSED": "waiting",
    "COMPLETED": "done",
    "CANCELLED": "cancelled",
    "ERROR": "failed",
}
_WORDS = {"PAUSED": "waiting for you", "ERROR": "failed"}


class Links:
    """The addresses of the pages, wherever the app is mounted."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self.home = f"{self.root}/inspector"

    def static(self, name: str, version: str) -> str:
        return f"{self.home}/static/{name}?v={version}"

    def runs(self, **query: str | None) -> str:
        return _with(self.home, query)

    def workflow(self, workflow_id: str) -> str:
        return f"{self.home}/workflows/{quote(workflow_id, safe='')}"

    def json(self, workflow_id: str, run_id: str) -> str:
        return f"{self.root}/workflows/{quote(workflow_id, safe='')}/runs/{quote(run_id, safe='')}"

    def run(self, run_id: str, part: str = "", **query: str | None) -> str:
        return _with(f"{self.home}/runs/{quote(run_id, safe='')}{f'/{part}' if part else ''}", query)

    @staticmethod
    def step(path: str) -> str:
        """A step of the run whose page this is: relative to that, as there are hundreds of them."""
        return f"?{urlencode({'step': path})}#detail"


def _with(address: str, query: dict[str, str | None]) -> str:
    given = {name: value for name, value in query.items() if value}
    return f"{address}?{urlencode(given)}" if given else address


def key_of(text: str) -> str:
    """A name that can be an element's id, for a path or an id of any kind."""
    return hashlib.blake2s(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def name_of(found: object) -> str:
    return one_line(found)


def preview(found: Any, longest: int = 100) -> str:
    """The beginning of a value, on one line."""
    if found is None:
        return ""
    said = found if isinstance(found, str) else json.dumps(shown(found), ensure_ascii=False, default=str)
    return shorten(" ".join(clean(said[: 4 * longest]).split()), longest)


def value(found: Any, label: str, longest: int = LONGEST_VALUE) -> h.Element:
    """A value in full: text as it is, all else as indented JSON. It scrolls, so a keyboard can reach it."""
    if found is None:
        return h.p(".dim")["none"]
    said = clean(as_text(found))
    left = len(said) - longest
    more = h.p(".dim")[f"{left:,} more characters are not shown here."] if left > 0 else None
    return h.div(".value")[h.pre(tabindex="0", role="region", aria_label=label)[kept(said[:longest])], more]


def folded_traceback(text: str | None) -> h.Element | None:
    """The traceback of a failed attempt, to be unfolded."""
    return h.details(".traceback")[h.summary["Traceback"], value(text, "Traceback")] if text else None


def kept(text: str) -> str:
    """``text`` for a ``pre`` or ``textarea``: HTML leaves the line end out that comes first in one."""
    return f"\n{text}" if text.startswith("\n") else text


def status_state(status: str) -> str:
    """The state that colours a run of this status."""
    return _STATES.get(status, "pending")


def mark(state: str) -> Markup:
    """The state's mark; its word stands beside it or in a title."""
    path = ICONS.get(state, ICONS["pending"])
    return Markup('<svg class="mark" viewBox="0 0 16 16" aria-hidden="true"><path d="{}"/></svg>').format(path)


def badge(status: str) -> h.Element:
    state = status_state(status)
    return h.span(".badge", data_state=state)[mark(state), _WORDS.get(status, status.lower())]


def when(seconds: float | None) -> h.Element | None:
    """A moment: UTC for who has no script, the reader's own time and how long ago with it."""
    if not seconds:
        return None
    at = datetime.fromtimestamp(seconds, UTC)
    iso = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return h.time(datetime=iso, title=iso)[at.strftime("%Y-%m-%d %H:%M:%S UTC")]


def took(seconds: float | None) -> str:
    return duration(seconds)
