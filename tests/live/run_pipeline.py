"""Runs a worker of a pipeline that some module defines: `python tests/live/run_pipeline.py tests.some.module`."""

import sys
from importlib import import_module

from streams.live import run_worker
from streams.settings import Settings

if __name__ == "__main__":
    run_worker(import_module(sys.argv[1]).PIPELINE, Settings())
