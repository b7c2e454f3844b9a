"""The ground of the engine: event loops, threads and time.

``loops`` starts tasks and timers, ``process`` holds what a process has of its own, ``clock`` gives time and ids,
``portal`` is the synchronous API's event loop, ``limits`` are timeouts, ``stalls`` is the watchdog. This wing knows no
run and no other wing.
"""
