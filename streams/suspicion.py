"""Suspicion: which record workers may have died of, told from what they noted before they stepped it."""

from collections.abc import Sequence

from sinks.store import Attempt, Position

DEATHS = 2
"""Owners that died in a batch soon after their claim, before records are stepped one at a time.

With the one before them, which was in the middle of its work and had nothing noted, three have died there.
"""

ALONE = 2
"""Owners that died of one record stepped alone, before it is set aside: one may have been killed by chance."""


class Suspicion:
    """What one owner of a task makes of the attempts that it finds and notes; see docs/reliability.md.

    What a task died of is within as many records from its last commit as a batch has: for so long after a claim each
    batch is noted, however few records it got. `alone` is how many records more are to be stepped one at a time. An
    owner that notes an attempt, and finds it again at its next claim, has not died of it.
    """

    def __init__(self, batch: int) -> None:
        self.alone = 0
        self._batch = batch
        self._unsure = 0
        self._found: Attempt | None = None
        self._noted: Attempt | None = None

    def claimed(self, found: Attempt | None) -> None:
        """Take in the attempt that a claim has found."""
        if found is not None and found == self._noted:
            found = Attempt(found.deaths - 1, found.position, found.offset)
        if found is not None and (found.position is not None or found.deaths >= DEATHS):
            self.alone = self._batch
        self._found, self._noted, self._unsure = found, None, self._batch

    def attempt(self, first: Position, offset: int) -> Attempt | None:
        """Return what to note before the batch that begins with this record is stepped; None for nothing."""
        if not self._unsure:
            return None
        about = (first, offset) if self.alone else (None, -1)
        found = self._found
        known = 0 if found is None or (found.position, found.offset) != about else found.deaths
        self._noted = Attempt(known + 1, *about)
        return self._noted

    def passed(self, records: int) -> None:
        """Note that so many records are committed."""
        self.alone = max(0, self.alone - records)
        self._unsure = max(0, self._unsure - records)

    def deadly(self, topic: str) -> Sequence[int]:
        """Return the offsets of a topic whose record is to be set aside."""
        found = self._found
        if found is None or found.position is None or found.deaths < ALONE or found.position.topic != topic:
            return ()
        return (found.offset,)
