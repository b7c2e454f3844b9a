"""A run's bus and its log.

``bus`` numbers events and hands them to subscribers; ``signals`` go the other way. ``recorder`` collects outcomes,
events and state into commits, ``stored`` turns questions into rows and back, ``projector`` folds events into the run's
output. It may import ``loop``; a run is a type to it, and nothing more.
"""
