"""Python's garbage collector, for processes that hold a great many keyed states."""

import gc

THRESHOLDS = (500_000, 20, 50)
"""Beyond the default thresholds, at which the collector would walk all keyed state ten times a second."""


def spare_keyed_state() -> None:
    """Have the collector look at what is here by now never again, and at the rest seldom."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
