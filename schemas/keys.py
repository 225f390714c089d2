"""Partition keys: a field of a message, told apart by tenant."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any


def by(field: str) -> Callable[[Any], str]:
    """Return a key function: the field, behind its tenant unless that is the default one."""
    read = attrgetter("tenant", field)

    def key(message: Any) -> str:
        return keyed(*read(message))

    return key


def keyed(tenant: str, name: str) -> str:
    """Return the key of something of a tenant.

    >>> keyed("default", "coffee"), keyed("shop", "coffee")
    ('coffee', 'shop/coffee')
    """
    return name if tenant == "default" else f"{tenant}/{name}"
