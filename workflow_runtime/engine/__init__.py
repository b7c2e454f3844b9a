"""How a run runs: the host, the execution, the bus and its subscribers, the streams, limits and the sync portal.

Imports ``steps``, ``core``, ``storage`` and ``model``. Everything a run needs of the outside (time, ids, randomness)
comes in through ``Runtime`` objects made here, so the rooms below stay pure.
"""
