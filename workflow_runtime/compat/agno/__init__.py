"""agno's module names and signatures for workflows of functions: ``agno`` -> ``workflow_runtime.compat.agno``.

Changing the import is meant to be enough. The classes are those of ``workflow_runtime`` with agno's argument order, its
lenient defaults (a failing step is tried four times, then skipped) and its conversions (a returned value becomes text);
what differs all the same is listed in ``docs/compatibility.md``. Nothing of agno is imported or needed.

Imports the public classes and, to subclass them, ``steps`` and ``engine``; nothing of the package imports this.
"""
