"""The database contract, its reference model in memory, and the registry of URL schemes.

Imports ``model`` only. Backends live in packages of their own and import this room and ``model``.
"""
