"""The bandit benchmarks, in short: the baseline is the known one, and a change of the best arm is noticed."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.bandits import ADS, UCB1, Change, Nightly, ads, drift, over_seeds, played, read_clicks, regained

SHORT = Change((0.1, 0.6, 0.2), (0.1, 0.1, 0.6), at=1_200, rounds=3_000, night=1_000)


def test_the_baseline_earns_what_it_is_known_to(data_folder: Path) -> None:
    assert played(UCB1(10), read_clicks(data_folder / ADS), 0) == 2_178


def test_every_policy_earns_more_than_chance(data_folder: Path) -> None:
    found = ads(data_folder, seeds=(0,), rounds=1_500)
    chance = found.pop("uniform")["total_reward"]
    best = found.pop("best_arm")["total_reward"]
    assert set(found) == {"thompson", "epsilon-greedy", "softmax", "squarecb", "ucb", "ucb1"}
    assert all(chance < figures["total_reward"] <= 1.05 * best for figures in found.values())


def test_after_a_change_the_default_policy_is_back_before_a_nightly_model() -> None:
    found = drift(seeds=(0, 1), worlds={"swap": SHORT})
    nightly = min(found[f"swap/nightly batch, {kept}"]["rounds"] for kept in ("all rounds", "last night"))
    assert found["swap/thompson"]["rounds"] < nightly
    assert found["swap/thompson"]["reward"] > found["swap/nightly batch, last night"]["reward"]


def test_who_never_comes_back_takes_forever() -> None:
    rounds, reward = regained(Nightly(3, 10_000, 10_000), SHORT, 0)
    assert rounds == np.inf
    assert reward == pytest.approx(0.8 / 3 / 0.6)


def test_figures_are_over_all_seeds() -> None:
    assert over_seeds([1.0, 3.0]) == {"total_reward": 2.0, "lowest": 1.0, "standard_deviation": 1.0}
