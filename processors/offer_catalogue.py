"""Whose offers are in the catalogue: each tenant's, sorted anew only when an entry has come, changed or gone."""

from collections.abc import Mapping
from itertools import groupby
from operator import attrgetter

from processors.base import is_as_it_was
from schemas.events import Offer
from schemas.keys import keyed

_tenant_and_name = attrgetter("tenant", "offer")


class OffersByTenant:
    """The names of each tenant's offers, which follow a table of the catalogue through upserts and tombstones."""

    def __init__(self) -> None:
        self._entries: tuple[Offer, ...] = ()
        self._names: dict[str, tuple[str, ...]] = {}

    def names(self, catalogue: Mapping[str, Offer], tenant: str) -> tuple[str, ...]:
        """Return the names of a tenant's offers, in order."""
        if not is_as_it_was(catalogue, self._entries):
            self._entries = tuple(catalogue.values())
            by_tenant = groupby(sorted(map(_tenant_and_name, self._entries)), key=lambda each: each[0])
            self._names = {of: tuple(name for _, name in each) for of, each in by_tenant}
        return self._names.get(tenant, ())

    def any(self, catalogue: Mapping[str, Offer], tenant: str) -> bool:
        """Return whether a tenant has offers; one that is known of and still there answers for the others."""
        known = next((catalogue.get(keyed(tenant, name)) for name in self._names.get(tenant, ())), None)
        return (known is not None and known.tenant == tenant) or bool(self.names(catalogue, tenant))
