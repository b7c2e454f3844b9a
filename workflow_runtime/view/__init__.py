"""A run for display, as data: shared by the terminal, the exported page and the inspector. Pure.

From the inside out: ``clean`` makes untrusted text safe to show; ``node`` and ``tree`` are the run's steps with their
states, folded from events (``folds``) or from the stored run (``recall``); ``rows`` are the tree as lines of words;
``drawing`` draws a workflow's outline. This package uses only the public API and needs no library.
"""

from __future__ import annotations

__all__: list[str] = []
