"""What a person sees of a run, as data: the shared ground of the terminal, the exported page and the inspector. Pure.

From the inside out: ``clean`` makes text of others safe to show; ``node`` and ``tree`` are the run's steps with their
states, folded from events (``folds``) or from what is stored (``recall``); ``rows`` are the tree as lines of words;
``drawing`` are pictures of a workflow's outline. This room uses the public API only and needs no library.
"""

from __future__ import annotations

__all__: list[str] = []
