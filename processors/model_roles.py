"""Which model decides: the one called champion, or, for a share of the customers, the challenger."""

from collections.abc import Collection, Mapping
from hashlib import blake2b

from schemas.results import ModelAlias

Aliases = Mapping[str, ModelAlias]
"""What was last said of each alias."""


def champion_of(aliases: Aliases, models: Collection[str], unsaid: str) -> str:
    """Return the model that the alias "champion" names; `unsaid` where it names none of `models`."""
    alias = aliases.get("champion")
    return alias.model if alias is not None and alias.model in models else unsaid


def challenger_of(aliases: Aliases, models: Collection[str], user: str) -> str | None:
    """Return the model that decides for a customer in the champion's place; None when the champion does.

    `user` is the customer's key, tenant included. Who is in a share of the customers stays in every larger one.
    """
    alias = aliases.get("challenger")
    if alias is None or alias.model not in models or draw(alias.model, user) >= alias.share:
        return None
    return alias.model


def draw(model: str, user: str) -> float:
    """Return a number in [0, 1) that is as good as drawn for a customer and a model, and always the same.

    >>> 0.0 <= draw("forest", "ann") == draw("forest", "ann") < 1.0
    True
    """
    return int.from_bytes(blake2b(f"{model}\n{user}".encode(), digest_size=8).digest()) / 2**64
