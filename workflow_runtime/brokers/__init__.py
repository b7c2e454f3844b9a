"""Brokers: how processes that share a database tell each other that there is something to look at.

The database holds what must not be lost: which runs wait, who has each, its answers, its log. A broker's messages are hints:
one that is lost makes a run wait until somebody looks by himself, one that comes twice makes somebody look in vain.

Imports ``model`` and ``storage``.
"""
