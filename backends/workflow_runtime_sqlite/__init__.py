"""SQLite behind the database contract: one file, one writing connection with group commit, reading ones beside it.

Reads from outside in: ``database`` is the class, ``location`` says which file, ``shared`` is a connection of aiosqlite
that every loop may use, ``calls`` is how a function gets into its thread, ``transactions`` runs ``commits`` and
``queries`` there, ``replies`` bring back what came of it. ``statements`` is the SQL, ``rows`` maps it, ``schema`` makes
it, ``errors`` translates what the driver reports. Imports ``workflow_runtime.storage`` and ``workflow_runtime.model`` only.
"""

from .database import SqliteDb

__all__ = ["SqliteDb"]
