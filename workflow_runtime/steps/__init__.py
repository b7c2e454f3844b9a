"""The step kinds. Each module contains a public class (the declaration) and its node (the behaviour).

A declaration only keeps the user's arguments; ``build`` compiles it into a tree of nodes once per workflow. A node's single
``execute`` defines its behaviour, through the ``Frame`` that the engine passes to it. Imports ``core`` and ``model`` only.
"""
