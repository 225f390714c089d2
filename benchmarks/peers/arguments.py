"""The command line that every peer answers to."""

from __future__ import annotations

import argparse
from dataclasses import dataclass


@dataclass(frozen=True)
class Arguments:
    """Where a peer reads and writes.

    ``events`` is how many are in the input: a peer may end by itself after so many, or go on until SIGTERM.
    ``redis`` is a URL, read by those that store into it.
    """

    kafka: str
    input: str
    output: str
    events: int
    redis: str

    @property
    def group(self) -> str:
        """The consumer group, fresh whenever the output topic is."""
        return f"{self.output}.group"


def parse_arguments(purpose: str | None) -> Arguments:
    """Return the process's own command line; exits with usage when it is wrong."""
    parser = argparse.ArgumentParser(description=purpose)
    parser.add_argument("--kafka", required=True, metavar="HOST:PORT")
    parser.add_argument("--input", required=True, metavar="TOPIC")
    parser.add_argument("--output", required=True, metavar="TOPIC")
    parser.add_argument("--events", required=True, type=int, metavar="N")
    parser.add_argument("--redis", default="redis://127.0.0.1:6379", metavar="URL")
    return Arguments(**vars(parser.parse_args()))
