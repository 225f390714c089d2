"""What the benchmarks measure with: an open loop, arrivals told by Redis, stages of a replay, sizes of states."""

import numpy as np
import orjson
import pytest
from redis import Redis

from benchmarks.arrivals import Arrivals
from benchmarks.latency import Due, percentiles, with_feedback
from benchmarks.memory import memory
from benchmarks.replay import STAGES, replay_pace, replay_stages


@pytest.fixture(autouse=True)
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADRACE_DATA", raising=False)


def at(time: int) -> tuple[bytes, bytes]:
    return str(time).encode(), orjson.dumps({"event_time": time})


def test_feedback_is_sent_before_the_first_transaction_that_is_not_older() -> None:
    due = list(with_feedback([at(1), at(5), at(9)], [at(2), at(5), at(20)]))
    assert due == [Due(at(1), []), Due(at(5), [at(2), at(5)]), Due(at(9), [])]


def test_percentiles_are_in_the_units_of_what_was_measured() -> None:
    assert percentiles(np.arange(1_001.0)) == {"p50_ms": 500.0, "p99_ms": 990.0, "p999_ms": 999.0}


def test_redis_tells_when_a_key_was_first_written(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client, Arrivals(redis_url, "arrivals:") as arrivals:
        client.set("arrivals:a", 1)
        client.set("elsewhere:b", 1)
        arrivals.wait_for(["a"], 10.0)
        first = arrivals.at["a"]
        client.set("arrivals:a", 2)
        client.set("arrivals:c", 3)
        arrivals.wait_for(["c"], 10.0)
        assert arrivals.at == {"a": first, "c": arrivals.at["c"]}
        with pytest.raises(RuntimeError, match="1 of 2 results are not in Redis"):
            arrivals.wait_for(["a", "never"], 0.0)


def test_the_pace_of_a_replay_is_told_by_clock_and_by_core() -> None:
    found = replay_pace(500)
    assert (found["events"], found["data"]) == (450, "simulated")
    assert float(found["events_per_second"]) > 0
    assert float(found["events_per_core_second"]) > 0


def test_the_stages_of_a_replay_share_all_of_its_time() -> None:
    found = replay_stages(500)
    assert set(found) == {*STAGES, "reading"}
    assert sum(found.values()) == pytest.approx(1, abs=0.01)
    assert min(found.values()) >= 0


def test_memory_is_told_for_each_kind_of_state() -> None:
    found = memory(1_000)
    assert set(found) == {"customers", "terminals", "waiting_payments"}
    assert found["waiting_payments"]["keys"] == 1_000
    for figures in found.values():
        assert 0 < figures["q4"] < figures["redis"]
