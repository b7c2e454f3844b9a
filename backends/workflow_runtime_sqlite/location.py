"""The location of a database: a path or a URL, resolved once, before anything is opened."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from workflow_runtime.model.errors import BuildError

__all__ = ["DEFAULT_FILE", "MEMORY", "Location", "file_id", "locate"]

DEFAULT_FILE = "workflow_runtime.db"
MEMORY = ":memory:"


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """A file (absolute ``path``) or, with ``path`` ":memory:", a database that lives as long as its connection."""

    path: str
    read_only: bool = False

    @property
    def in_memory(self) -> bool:
        return self.path == MEMORY

    def uri(self, *, create: bool) -> str:
        """The argument of ``sqlite3.connect(..., uri=True)``."""
        if self.in_memory:
            return f"file:{MEMORY}"
        return f"{Path(self.path).as_uri()}?mode={'ro' if self.read_only else 'rwc' if create else 'rw'}"


def file_id(path: str) -> tuple[int, int] | None:
    """The identity of the file at ``path``: no two existing files have the same one. None: there is no file, or it is
    unknown."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def locate(place: str | os.PathLike[str] | None) -> Location:
    """The location for ``place``; None is ``workflow_runtime.db`` in the working directory.

    Takes a path, ":memory:", or a URL: ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``sqlite://:memory:``.
    A URL may end in ``?mode=ro``: the file is then only read, and must exist.

    Raises:
        BuildError: The URL is of another kind, names a host, or has a parameter that is not known.
    """
    text = os.fspath(DEFAULT_FILE if place is None else place)
    if text.startswith("sqlite+aiosqlite://"):
        text = text.replace("+aiosqlite", "", 1)
    if "://" not in text:
        return Location(path=MEMORY if text == MEMORY else os.path.abspath(text))
    parts = urlsplit(text)
    if parts.scheme != "sqlite":
        raise BuildError(f"{text!r} is no SQLite URL; write sqlite:///relative.db or sqlite:////absolute.db")
    path = unquote(parts.path)
    if parts.query not in ("", "mode=ro", "mode=rwc"):
        raise BuildError(f"{text!r}: the only parameter of a SQLite URL is mode=ro")
    read_only = parts.query == "mode=ro"
    if parts.netloc == MEMORY or path == f"/{MEMORY}" or not (parts.netloc or path.strip("/")):
        return Location(path=MEMORY)
    if parts.netloc:
        raise BuildError(f"{text!r} names a host; a relative file has three slashes: sqlite:///{parts.netloc}{path}")
    return Location(path=os.path.abspath(path[1:]), read_only=read_only)
