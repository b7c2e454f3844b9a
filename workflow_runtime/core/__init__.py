"""Pure decisions: plan, journal, lifecycle, gate, filters, signatures, session-state merging. (D15)

No ``async``, no clock, no uuid, no I/O: time and ids come in as arguments. Imports ``model`` only.
"""
