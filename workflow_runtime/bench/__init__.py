"""Measuring: the cases, the clock, and rounds of fresh processes. ``wfr bench`` runs them for this library alone; the
repository's ``benchmarks/`` runs the same cases against others.

A case says what is done, in which sizes, and what is measured and checked; a library's adapter says how it does it
(``contract.py``). Everything here but the adapter ``ours.py`` is standard library only, because it is loaded in the
environments of other libraries, where this package is not installed: ``worker.py`` loads this folder under another name.
"""

from __future__ import annotations
