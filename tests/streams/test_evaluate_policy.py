"""`headrace evaluate policy`: figures for a person or a program, and plain words for a log that cannot be judged."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from typer.testing import CliRunner, Result

from streams.main import app
from streams.policy_log import LogMapping, PolicyLogError, encoded, read_policy_log

ROWS = "action,position,reward,propensity\n" + "".join(
    f"{'ab'[row % 2]},{row % 3},{int(row % 4 == 1)},0.5\n" for row in range(200)
)


def evaluate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["evaluate", "policy", *map(str, arguments)])


def written(folder: Path, text: str = ROWS, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def figures(*arguments: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(evaluate(*arguments, "--json").stdout)
    return found


def test_figures_are_one_object(tmp_path: Path) -> None:
    found = figures(written(tmp_path), "--policy", "uniform", "--policy", "fixed:b", "--clip", "1.5")
    assert (found["n"], found["actions"], found["logged_value"], found["clip"]) == (200, 2, 0.25, 1.5)
    assert found["policies"]["uniform"]["ips"]["value"] == 0.25
    assert found["policies"]["uniform"]["ess"] == 200
    assert found["policies"]["fixed:b"]["snips"]["value"] == 0.5
    assert found["policies"]["fixed:b"]["clipped"] == 0.5
    assert set(found["policies"]["fixed:b"]) == {"ips", "snips", "dm", "dr", "ess", "max_weight", "clipped"}


def test_figures_are_a_table_for_a_person(tmp_path: Path) -> None:
    told = evaluate(written(tmp_path))
    assert "200 rows, 2 actions, 0.25000 earned per row" in told.stdout
    assert all(name in told.stdout for name in ("uniform", "softmax", "squarecb"))


def test_a_candidate_that_learns_finds_the_better_action(tmp_path: Path) -> None:
    found = figures(written(tmp_path, ROWS + ROWS.partition("\n")[2] * 4), "--policy", "thompson")["policies"]
    assert found["thompson"]["dr"]["low"] > 0.4


def test_several_files_are_one_log_whatever_their_kind(tmp_path: Path) -> None:
    rows = {"action": ["a", "b"], "reward": [1.0, 0.0], "propensity": [0.5, 0.5], "position": [1, 2]}
    pyarrow.parquet.write_table(pyarrow.table(rows), tmp_path / "log.parquet")
    lines = written(tmp_path, '{"action": "c", "reward": 1, "propensity": 0.5, "position": 1}\n', "log.jsonl")
    log = read_policy_log([tmp_path / "log.parquet", lines, written(tmp_path)])
    assert log.arms == ("a", "b", "c")
    assert len(log.log.action) == len(log.contexts) == 203


def test_a_mapping_names_other_columns(tmp_path: Path) -> None:
    mapping = written(tmp_path, "{action: ad, reward: paid, propensity: p, features: [age, city]}", "map.yaml")
    log = written(tmp_path, "ad,paid,p,age,city\nx,3.5,1,20,Oslo\ny,0,0.5,,Rome\nx,1,0.5,40,Oslo\n")
    found = figures(log, "--map", mapping, "--policy", "linucb")
    assert found["logged_value"] == 1.5
    assert read_policy_log([log], LogMapping.load(mapping)).contexts.shape == (3, 4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("action,reward\na,1\n", "has no column 'propensity', it has action, reward: say with --map"),
        ("action,reward,propensity\n", "the log has no rows"),
        ("action,reward,propensity\na,1,0.5\na,1,0\n", "row 1 has propensity 0.0, 1 rows in all"),
        ("action,reward,propensity\na,1,0.5\na,1,\n", "row 1 has no propensity, nor have 0 others"),
        ("action,reward,propensity\na,1,0.5\n,1,0.5\n", "row 1 has no action"),
        ("action,reward,propensity\na,yes,0.5\n", "row 0: reward 'yes' is not a number"),
        ("action,reward,propensity\na,7,0.5\n", "softmax: reward must be in [0, 1], got 7"),
        ("action,reward,propensity\na,1,0.5\n", "the log never showed 'z': it has a"),
    ],
)
def test_what_cannot_be_judged_is_said_plainly(tmp_path: Path, text: str, said: str) -> None:
    told = evaluate(written(tmp_path, text), "--policy", "softmax", "--policy", "fixed:z")
    assert told.exit_code == 1
    assert said in told.stderr


def test_a_line_that_is_no_object_is_named(tmp_path: Path) -> None:
    told = evaluate(written(tmp_path, '{"action": "a", "reward": 1, "propensity": 1}\n[]\n', "log.jsonl"))
    assert told.exit_code == 1
    assert "row 1: invalid_field" in told.stderr


@pytest.mark.parametrize(
    ("mapping", "said"), [("{verb: x}", "map.yaml: verb: Extra inputs"), ("{a: [}", "cannot be read")]
)
def test_a_mapping_that_is_wrong_is_named(tmp_path: Path, mapping: str, said: str) -> None:
    with pytest.raises(PolicyLogError, match=said):
        LogMapping.load(written(tmp_path, mapping, "map.yaml"))


def test_an_unknown_candidate_is_refused_with_those_there_are(tmp_path: Path) -> None:
    told = evaluate(written(tmp_path), "--policy", "oracle")
    assert told.exit_code == 1
    assert "unknown policy 'oracle': there are thompson" in told.stderr


def test_features_become_numbers() -> None:
    assert encoded(["1", "3", None]).ravel().tolist() == [-1.0, 1.0, 0.0]
    assert encoded([None, None]).tolist() == [[0.0], [0.0]]
    assert encoded([1, 2], words=True).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert encoded(list("abcdefga")).shape == (8, 5)


@pytest.mark.parametrize("campaign", ["men", "women"])
def test_choosing_by_chance_is_worth_what_chance_earned(data_folder: Path, campaign: str) -> None:
    path = data_folder / "open_bandit_sample" / f"random_{campaign}.csv.gz"
    found = figures(path, "--policy", "uniform")
    uniform, earned = found["policies"]["uniform"], found["logged_value"]
    assert earned == 46 / 10_000
    assert uniform["ips"]["value"] == pytest.approx(earned)
    assert uniform["snips"]["value"] == pytest.approx(earned)
    assert uniform["dr"]["value"] == pytest.approx(earned, rel=0.05)
    assert all(uniform[name]["low"] < earned < uniform[name]["high"] for name in ("ips", "snips", "dr"))
    assert uniform["ess"] == pytest.approx(found["n"]) == 10_000


def test_the_open_bandit_columns_are_known_by_themselves(data_folder: Path) -> None:
    log = read_policy_log([data_folder / "open_bandit_sample" / "random_men.csv.gz"])
    assert len(log.arms) == 34
    assert log.log.propensity == pytest.approx(1 / 34)
    assert np.isfinite(log.contexts).all()
