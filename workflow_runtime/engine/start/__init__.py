"""How a run begins, and who keeps runs alive.

``continuation`` and ``resume`` continue a paused run, ``recovery`` takes over one whose process died, ``prepare_fork``
copies one, ``named`` and ``queued`` begin those with an id or in a queue, ``dispatch`` takes them from the queue,
``runtime`` does all of this for a process. It may import every other wing.
"""
