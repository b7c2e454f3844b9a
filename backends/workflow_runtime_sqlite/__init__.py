"""SQLite behind the database contract: one file, one writing connection with group commit, reading ones beside it.

Reads from outside in: ``database`` is the class, ``location`` identifies the file, ``shared`` is a connection of aiosqlite
that every loop may use, ``calls`` runs a function in its thread, ``transactions`` runs ``commits`` and ``queries`` there,
``replies`` return the results. ``statements`` is the SQL, ``rows`` maps its rows, ``schema`` creates the tables, ``errors``
translates the driver's errors. Imports ``workflow_runtime.storage`` and ``workflow_runtime.model`` only.
"""

from .database import SqliteDb

__all__ = ["SqliteDb"]
