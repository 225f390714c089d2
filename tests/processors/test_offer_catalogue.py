"""Each tenant's offers, however entries come, change and go, as a scan of the whole catalogue finds them."""

from hypothesis import given
from hypothesis import strategies as st

from processors.offer_catalogue import OffersByTenant
from schemas.events import Offer
from schemas.topics import OFFERS
from tests.processors.offer_world import offer

TENANTS = ("default", "shop", "bank")
ENTRIES = st.tuples(st.sampled_from(TENANTS), st.sampled_from(("coffee", "tea", "cake", "shop/tea")))
CHANGES = st.lists(st.tuples(st.sampled_from(("upsert", "upsert", "tombstone")), ENTRIES), max_size=20)
ASKED = st.lists(st.tuples(CHANGES, st.sampled_from(TENANTS), st.booleans()), max_size=8)


@given(ASKED)
def test_a_tenants_offers_are_those_that_a_scan_finds(
    asked: list[tuple[list[tuple[str, tuple[str, str]]], str, bool]],
) -> None:
    catalogue, offers = dict[str, Offer](), OffersByTenant()
    for changes, tenant, whole in asked:
        for change, (of, name) in changes:
            entry = offer(name, tenant=of)
            catalogue.pop(OFFERS.key(entry), None)
            if change == "upsert":
                catalogue[OFFERS.key(entry)] = entry
        expected = sorted(each.offer for each in catalogue.values() if each.tenant == tenant)
        assert offers.any(catalogue, tenant) == bool(expected)
        if whole:
            assert offers.names(catalogue, tenant) == tuple(expected)


def test_a_tombstone_and_a_new_entry_between_two_looks_are_seen() -> None:
    offers, catalogue = OffersByTenant(), {"coffee": offer()}
    assert (offers.any(catalogue, "default"), offers.any(catalogue, "shop")) == (True, False)
    del catalogue["coffee"]
    catalogue["shop/tea"] = offer("tea", tenant="shop")
    assert (offers.any(catalogue, "default"), offers.any(catalogue, "shop")) == (False, True)
    assert offers.names(catalogue, "shop") == ("tea",)
