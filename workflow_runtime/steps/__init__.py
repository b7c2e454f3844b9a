"""What a workflow is made of. Each module holds a public class (the declaration) and its node (the behaviour).

A declaration only keeps what the user wrote; ``build`` compiles it into a tree of nodes once per workflow. A node's one
``execute`` says what it does, through the ``Frame`` that the engine hands it. Imports ``core`` and ``model`` only.
"""
