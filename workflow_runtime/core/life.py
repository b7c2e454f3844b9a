"""The life of a run in one process, as a table: what may happen to it in each state, and the state that follows. (D15)

``core/lifecycle.py`` defines which status a run may have in its log; this table defines what its process does. A cell is
the next state (act), ``KEEP`` (remember it: the next state acts on it) or ``REFUSE`` (it comes too early or too late, and
the caller learns that).
"""

from __future__ import annotations

from enum import Enum, IntEnum

__all__ = ["KEEP", "OVER", "PAUSED", "REFUSE", "TABLE", "Answer", "Cell", "Happening", "Life", "next_life"]


class Life(IntEnum):
    WAITING = 0  # for its turn in the session
    RUNNING = 1
    PAUSING = 2  # its pause is being stored
    PARKED = 3  # stored as paused, while its steps wait in memory
    WAKING = 4  # claimed again, on its way to its turn
    COMPENSATING = 5  # its outcome is stored, and the effects of its completed steps are being undone
    ENDING = 6  # its end is being stored
    ENDED = 7
    GONE = 8  # not in this process any more: the database, or another process, has it


class Happening(IntEnum):
    BEGIN = 0  # its turn has come
    CANCEL = 1  # it is to be cancelled
    FAIL = 2  # something beside its steps failed, such as a commit
    ANSWERED = 3  # answers to its questions are stored
    QUIET = 4  # every branch waits for an answer
    CONTINUE = 5  # its pause was refused or called off: it can go further
    PARK = 6  # its pause is stored, and its steps keep waiting
    CLAIM = 7  # a continue owns the stored run and finds its steps waiting here
    FINISH = 8  # its outcome is known and is to be stored
    STORED = 9  # its end is stored, or cannot be
    COMPENSATE = 10  # it failed or was cancelled, and steps that it has completed are to be undone first
    LEAVE = 11  # its task is to end without an outcome: evicted, released or taken over


class Answer(Enum):
    KEEP = "keep"
    REFUSE = "refuse"


KEEP, REFUSE = Answer.KEEP, Answer.REFUSE
Cell = Life | Answer

PAUSED = frozenset({Life.PAUSING, Life.PARKED, Life.WAKING})
"""The states in which nothing of the run may be published: it is paused, about to be, or about to go on."""

OVER = frozenset({Life.PARKED, Life.ENDED, Life.GONE})
"""The states in which this process does nothing for the run."""

_W, _R, _P, _K, _A, _C, _E, _D, _G = Life
_x = REFUSE

# fmt: off
TABLE: tuple[tuple[Cell, ...], ...] = (
    #              WAITING RUNNING PAUSING PARKED WAKING COMPENSATING ENDING ENDED GONE
    (              _R,     _x,     _x,     _x,    _R,    _x,          _x,    _x,   _x),  # BEGIN
    (              _W,     _R,     KEEP,   _x,    KEEP,  KEEP,        KEEP,  _x,   _x),  # CANCEL
    (              _W,     _R,     KEEP,   _x,    KEEP,  _x,          _x,    _x,   _x),  # FAIL
    (              KEEP,   _R,     KEEP,   _x,    KEEP,  _x,          _x,    _x,   _x),  # ANSWERED
    (              _x,     _P,     _x,     _x,    _x,    _x,          _x,    _x,   _x),  # QUIET
    (              _x,     _x,     _R,     _x,    _x,    _x,          _x,    _x,   _x),  # CONTINUE
    (              _x,     _x,     _K,     _x,    _K,    _x,          _x,    _x,   _x),  # PARK
    (              _x,     _x,     KEEP,   _A,    _x,    _x,          _x,    _x,   _x),  # CLAIM
    (              _E,     _E,     _E,     _E,    _E,    _E,          _x,    _x,   _x),  # FINISH
    (              _D,     _x,     _D,     _x,    _D,    _x,          _D,    _D,   _x),  # STORED
    (              _C,     _C,     _C,     _C,    _C,    _x,          _C,    _x,   _x),  # COMPENSATE
    (              _G,     _G,     _G,     _G,    _G,    _G,          _G,    _x,   _x),  # LEAVE
)
# fmt: on
"""``TABLE[happening][life]``."""


def next_life(life: Life, happening: Happening) -> Cell:
    """The cell for ``happening`` in the state ``life``."""
    return TABLE[happening][life]
