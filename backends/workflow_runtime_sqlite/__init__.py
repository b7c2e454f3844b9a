"""SQLite behind the database contract: one file, one writing thread with group commit, reading threads beside it.

Reads from outside in: ``database`` is the class, ``location`` says which file, ``worker`` is the thread, ``commits``,
``leases`` and ``queries`` run on it, ``statements`` is the SQL, ``rows`` maps it, ``schema`` makes it, ``errors``
translates what the driver says. Imports ``workflow_runtime.storage`` and ``workflow_runtime.model`` only.
"""

from .database import SqliteDb

__all__ = ["SqliteDb"]
