"""Compile a function of numbers and arrays to machine code, keeping its Python type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Return `function` compiled at its first call, cached on disk; no fast-math, so results are exact."""
    return cast("F", njit(cache=True)(function))
