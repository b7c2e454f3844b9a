"""PostgreSQL behind the database contract: a pool per event loop, one round trip per commit, LISTEN for watchers.

Reads from outside in: ``database`` is the class, ``location`` identifies the server, ``pool`` connects and repeats calls
after a lost connection, ``listen`` receives notifications of other processes' commits, ``commits`` and ``queries`` turn
calls into ``statements``, ``rows`` maps the results, ``schema`` and ``functions`` are the tables and the code on the
server, ``errors`` translates the driver's errors. Imports ``workflow_runtime.storage`` and ``workflow_runtime.model`` only.
"""

try:
    from .database import PostgresDb
except ModuleNotFoundError as error:
    if error.name != "asyncpg":
        raise
    raise ImportError("PostgresDb needs the driver asyncpg: pip install 'workflow-runtime[postgres]'") from error

__all__ = ["PostgresDb"]
