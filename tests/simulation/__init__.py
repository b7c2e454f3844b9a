"""Many processes, one database and the people who use them, in one thread and in virtual time: the same seed, the same run.

``world`` runs callbacks of simulated processes, ``database`` stands between each of them and one ``InMemoryDb``. A *case*
(``drawing``, ``extras``) is plain data: a tree of steps (``tree``), runs, and what happens to them when. ``play`` performs
it, with the help of ``people``. ``book`` and ``stored`` have the rules that must hold meanwhile, ``verdict`` those that must
hold at the end, and ``compare`` sets the case beside its *calm twin*: the same case in one process, with no failures, one
run after the other. ``batch`` plays many seeds, ``shrink`` makes a failing case small, ``expected`` lists what is known to
fail. ``python -m tests.simulation`` is the way in.

Only ``patches`` changes the product, and only what CPython or anyio leave to chance; so all of this runs in child
processes of its own, never in that of the other tests.
"""
