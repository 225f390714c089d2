"""The benchmarks of load on a real worker: rates are held or not, a flood loses nothing, feedback gets to a ranking."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks import load as benchmark
from benchmarks.arrivals import Arrivals
from benchmarks.broker import Broker
from benchmarks.feedback import SETTINGS, Conversation
from benchmarks.load import Steps, flood
from benchmarks.payments import Payments
from benchmarks.site import Site
from benchmarks.soak import Soak, watched
from sinks.offer_serving import ranking_key
from streams.services.supervisor import Part, up

pytestmark = pytest.mark.live


@pytest.fixture
def site(folder: Path) -> Iterator[Site]:
    found = up(folder, (Part.KAFKA, Part.REDIS))
    assert found.kafka is not None
    assert found.redis is not None
    with Broker(found.kafka) as broker:
        yield Site(broker, found.redis)


def test_rates_a_flood_and_a_soak_tell_of_every_payment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "FLOOD_SECONDS", 1)
    monkeypatch.setattr(benchmark, "BUDGET_MS", np.inf)
    monkeypatch.setattr(benchmark, "BACKLOG_SECONDS", np.inf)
    fresh, payments = site.cleared(), Payments(customers=50)
    with fresh.workers() as (worker,):
        fresh.warmed(worker, payments.take(50))
        steps = Steps(fresh, payments, 1, lambda _: None)
        assert steps.holds(20)
        monkeypatch.setattr(benchmark, "BUDGET_MS", 0.0)
        assert not steps.holds(10)
        found = flood(fresh, worker, payments, 500)
        soaked = watched(fresh, worker, payments, Soak(0.05, 20))
        assert fresh.pace([worker], payments.take(100)) > 0
    assert {rate: figures["held"] for rate, figures in steps.found.items()} == {20: True, 10: False}
    assert (found["acknowledged"], found["lost"], found["doubled"]) == (500, 0, 0)
    assert 0 < found["megabytes_before"] <= found["megabytes_most"]
    assert (soaked["lost"], soaked["doubled"], soaked["rate"]) == (0, 0, 20)


def test_feedback_comes_to_a_ranking_that_learned_it(site: Site) -> None:
    fresh = site.cleared(**SETTINGS)
    with fresh.workers() as (worker,), Arrivals(fresh.redis, ranking_key("default", "")) as arrivals:
        conversation = Conversation(fresh, worker, arrivals)
        conversation.live()
        assert conversation.round(0) > 0
        conversation.close()
