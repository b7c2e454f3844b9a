"""A run and its life.

``execution`` holds one run, ``execute`` says what a run does, ``walk`` goes over its steps, ``frame`` is what a step
sees of its run, ``invoke`` calls functions and agents, ``ending`` stores the end, ``canceller`` and ``people`` act on
signals, ``host`` starts the task. It may import ``loop``, ``bus`` and ``people``.
"""
