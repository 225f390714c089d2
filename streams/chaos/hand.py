"""One worker of the fraud pipeline, as a process whose clock may be wrong: `python -m streams.chaos.hand [SECONDS]`."""

import sys
import time


def run(skew_seconds: float) -> None:
    """Run a worker by a clock that is so many seconds ahead. Ends the process."""
    if skew_seconds:
        right = time.time
        time.time = lambda: right() + skew_seconds
    # Only now: most modules take hold of the clock as they are imported.
    from streams.assembly import fraud_pipeline
    from streams.collector import spare_keyed_state
    from streams.live import run_worker
    from streams.settings import Settings

    settings = Settings()
    spare_keyed_state()
    run_worker(fraud_pipeline(settings), settings)


if __name__ == "__main__":
    run(float(sys.argv[1]) if len(sys.argv) > 1 else 0.0)
