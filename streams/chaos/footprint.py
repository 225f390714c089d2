"""What a worker takes of its machine, and whether that stops growing. By /proc: nothing where there is none."""

from collections.abc import Sequence
from pathlib import Path
from resource import getpagesize
from typing import NamedTuple

import msgspec

SHORTEST = 40
MORE_MB, MORE_SHARE, MORE_DESCRIPTORS = 24.0, 0.10, 8
"""By how much the last quarter of a life may exceed the third."""


class Use(NamedTuple):
    """What a process has at a moment: its resident memory, and how many files and sockets are open."""

    mb: float
    descriptors: int


class Footprint(msgspec.Struct, frozen=True):
    """The most that one process had in the third and in the last quarter of its life, of `seconds`."""

    seconds: int
    mb: tuple[float, float]
    descriptors: tuple[int, int]

    @property
    def flat(self) -> bool:
        """Whether it has stopped to grow, by its second half."""
        (third, last), (opened, open_last) = self.mb, self.descriptors
        return last <= third * (1 + MORE_SHARE) + MORE_MB and open_last <= opened + MORE_DESCRIPTORS


def use_of(pid: int) -> Use | None:
    """Return what a process has now; None where it has ended, or nobody can tell."""
    process = Path("/proc") / str(pid)
    try:
        pages = int((process / "statm").read_text().split()[1])
        return Use(round(pages * getpagesize() / 2**20, 1), sum(1 for _ in (process / "fd").iterdir()))
    except (OSError, IndexError):
        return None


def footprint(uses: Sequence[Use], seconds: float) -> Footprint | None:
    """Return what samples of a whole life, taken evenly, come to; None for a life too short to tell."""
    if len(uses) < SHORTEST:
        return None
    third, last = uses[len(uses) // 2 : len(uses) * 3 // 4], uses[len(uses) * 3 // 4 :]
    return Footprint(
        round(seconds),
        (max(use.mb for use in third), max(use.mb for use in last)),
        (max(use.descriptors for use in third), max(use.descriptors for use in last)),
    )
