"""The harness: the cases of ``workflow_runtime/bench`` for this library, its peers, and the limit of what asyncio can do.

``python -m benchmarks --help``
"""
