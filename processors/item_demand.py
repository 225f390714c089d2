"""The demand for items: who chose what lately, and what ratings have taught of it."""

from collections.abc import Iterable

from msgspec.structs import replace

from online_models.split_factors import Lesson, SplitFactors
from processors.base import Said, Tables
from processors.recommendations import Mix, more_demand
from processors.recommender import half_of
from schemas.recommendation_results import CatalogueItem, ItemChosen, ItemDemand
from schemas.recommendation_topics import ITEM_DEMANDS, ITEMS, ITEMS_CHOSEN
from schemas.records import AnyRecord


class DemandForItems:
    """Folds who chose an item into the demand for it, and their ratings into its half of the rating model.

    The catalogue is read too, so that an entry which is no message is told as a dead letter; a good one changes
    nothing here.
    """

    name = "demand"
    inputs = (ITEMS, ITEMS_CHOSEN)
    outputs = (ITEM_DEMANDS,)
    tables = ()
    state = ItemDemand

    def __init__(self, model: SplitFactors, mix: Mix | None = None) -> None:
        self._model = model
        self._half_life_ms = (mix or Mix()).half_life_ms

    def step(
        self, state: ItemDemand | None, record: AnyRecord, tables: Tables
    ) -> tuple[ItemDemand | None, Iterable[Said]]:
        """Return the demand with one more who chose the item, and say it."""
        match record.message:
            case CatalogueItem():
                return state, ()
            case ItemChosen() as chosen:
                demand = self._more(state, chosen)
                return demand, (Said(ITEM_DEMANDS, demand),)
            case other:
                raise TypeError(f"{self.name} does not read {type(other).__name__}")

    def _more(self, state: ItemDemand | None, chosen: ItemChosen) -> ItemDemand:
        about = (chosen.event_id, chosen.event_time, chosen.tenant)
        demand = more_demand(state, chosen.item, about, self._half_life_ms)
        if not chosen.listed:
            demand = replace(demand, unlisted=demand.unlisted + 1)
        if chosen.error is None:
            return demand
        half = self._model.taught(half_of(demand), Lesson(chosen.error, chosen.factors))
        return replace(demand, rated=half.rated, bias=half.bias, factors=half.factors)
