"""Suspicion: which record workers may have died of, told from what they noted before they stepped it."""

from collections.abc import Sequence

from sinks.store import Attempt, Position

DEATHS = 2
"""Owners that died in their first batch, before its records are stepped one at a time.

With the one before them, which was in the middle of its work and had nothing noted, three have died there.
"""

ALONE = 2
"""Owners that died of one record stepped alone, before it is set aside: one may have been killed by chance."""


class Suspicion:
    """What one owner of a task makes of the attempts that it finds and notes; see docs/reliability.md.

    `alone` is how many records more are to be stepped one at a time: as many as a batch has, for the one that kills is
    within the first batch. An owner that notes an attempt, and finds it again at its next claim, has not died of it.
    """

    def __init__(self, batch: int) -> None:
        self.alone = 0
        self._batch = batch
        self._found: Attempt | None = None
        self._noted: Attempt | None = None

    def claimed(self, found: Attempt | None) -> None:
        """Take in the attempt that a claim has found."""
        if found is not None and found == self._noted:
            found = Attempt(found.deaths - 1, found.position, found.offset)
        if found is not None and (found.position is not None or found.deaths >= DEATHS):
            self.alone = self._batch
        self._found, self._noted = found, None

    def attempt(self, first: Position, offset: int) -> Attempt | None:
        """Return what to note before the batch that begins with this record is stepped; None for nothing."""
        if self._noted is not None and not self.alone:
            return None
        about = (first, offset) if self.alone else (None, -1)
        found = self._found
        known = 0 if found is None or (found.position, found.offset) != about else found.deaths
        self._noted = Attempt(known + 1, *about)
        return self._noted

    def passed(self, records: int) -> None:
        """Note that so many records are committed."""
        self.alone = max(0, self.alone - records)

    def deadly(self, topic: str) -> Sequence[int]:
        """Return the offsets of a topic whose record is to be set aside."""
        found = self._found
        if found is None or found.position is None or found.deaths < ALONE or found.position.topic != topic:
            return ()
        return (found.offset,)
