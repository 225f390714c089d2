"""`headrace evaluate recommendations`: read as MovieLens lays it out, judged progressively, better than River's."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from online_models.factorisation import Item
from streams.files import UnreadableFile
from streams.main import app
from streams.rating_evaluation import Hits, evaluate_recommendations
from streams.ratings import Rating, rating_history

HEAD = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
ITEMS = "item_id:token\tmovie_title:token_seq\tclass:token_seq\n1\tToy Story\tAnimation Children's\n2\tAlien\t\n"


def ratings_file(folder: Path, text: str, items: str | None = ITEMS) -> Path:
    folder.mkdir(exist_ok=True)
    if items is not None:
        (folder / "some.item").write_text(items)
    path = folder / "ratings.tsv"
    path.write_text(text)
    return path


def many() -> str:
    rows = [f"{user}\t{1 + (user * k) % 7}\t{1 + (user + k) % 5}\t{100 * k}" for k in range(30) for user in range(10)]
    return HEAD + "\n".join(rows) + "\n"


def evaluate(path: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["evaluate", "recommendations", str(path), *options])


def test_ratings_come_in_order_of_time_with_the_categories_of_their_items(tmp_path: Path) -> None:
    history = rating_history(ratings_file(tmp_path, HEAD + "a\t1\t4\t20\nb\t2\t3.5\t10.5\n\nb\t9\t1\t20\n"))
    assert history.ratings == [
        Rating("b", Item("2"), 10_500, 3.5),
        Rating("a", Item("1", ("Animation", "Children's")), 20_000, 4.0),
        Rating("b", Item("9"), 20_000, 1.0),
    ]
    assert set(history.items) == {"1", "2", "9"}
    assert history.scale == (1.0, 4.0)


def test_columns_may_stand_in_any_order_and_the_file_may_be_compressed(tmp_path: Path) -> None:
    path = tmp_path / "ratings.tsv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbftimestamp\trating\tuser_id\titem_id\n5\t3\tann\tx\n6\t4\tbob\tx\n"))
    assert rating_history(path).ratings == [Rating("ann", Item("x"), 5_000, 3.0), Rating("bob", Item("x"), 6_000, 4.0)]


def test_a_file_without_names_has_the_columns_in_their_order(tmp_path: Path) -> None:
    path = ratings_file(tmp_path, "196\t242\t3\t881250949\n186\t242\t1\t881250949\n", items=None)
    assert rating_history(path).ratings[:1] == [Rating("196", Item("242"), 881_250_949_000, 3.0)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no ratings"),
        (HEAD, "holds no ratings"),
        ("user\titem\nann\tx\n", "needs the columns user_id, item_id, rating, timestamp"),
        (HEAD + "a\t1\t3\t1\nb\t1\tgood\t1\n", "line 3: could not convert string to float: 'good'"),
        (HEAD + "a\t1\tnan\t1\n", "line 2: rating nan at 1.0 is not finite"),
        (HEAD + "a\t1\t3\n", "line 2: there are 3 cells for the 4 columns user_id"),
        (HEAD + "\t1\t3\t1\n", "line 2: the user or the item is empty"),
    ],
)
def test_a_file_that_holds_no_such_ratings_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UnreadableFile, match=said):
        rating_history(ratings_file(tmp_path, text))


def test_items_without_categories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="needs the columns item_id, class"):
        rating_history(ratings_file(tmp_path, many(), items="item_id\ttitle\n1\tx\n"))


def test_two_files_of_items_are_one_too_many(tmp_path: Path) -> None:
    path = ratings_file(tmp_path, many())
    (tmp_path / "more.item").write_text(ITEMS)
    with pytest.raises(UnreadableFile, match=r"several files of items: more\.item, some\.item"):
        rating_history(path)


@pytest.mark.parametrize(
    "content",
    [None, b"no gzip", gzip.compress(b"cut short")[:-4], gzip.compress(b"\xff")],
    ids=["not there", "no gzip", "cut short", "no text"],
)
def test_a_file_that_cannot_be_read_is_said_plainly(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ratings.tsv.gz"
    if content is not None:
        path.write_bytes(content)
    told = evaluate(path, "--json")
    assert told.exit_code == 1
    assert "ratings.tsv.gz" in told.stderr


def test_figures_are_one_object(tmp_path: Path) -> None:
    found = json.loads(evaluate(ratings_file(tmp_path, many()), "--json", "--rank-every", "3").stdout)
    assert (found["n"], found["users"], found["items"]) == (300, 10, 7)
    assert found["rankings"] > 0
    assert found["improvement_mae"] == pytest.approx(1 - found["mae"] / found["biased_mf_mae"])
    assert found["improvement_rmse"] == pytest.approx(1 - found["rmse"] / found["biased_mf_rmse"])


def test_figures_are_a_table_for_a_person_and_rankings_can_be_left_out(tmp_path: Path) -> None:
    path = ratings_file(tmp_path, HEAD + "".join(f"{k % 50}\t{k % 77}\t{k % 5}\t{k}\n" for k in range(2_500)))
    told = evaluate(path, "--rank-every", "0").stdout
    assert "baseline_rmse" in told
    assert "2,500" in told
    assert "hit_rate_10" not in told


def test_progress_is_told(tmp_path: Path) -> None:
    path = ratings_file(tmp_path, HEAD + "".join(f"{k % 50}\t{k % 77}\t{k % 5}\t{k}\n" for k in range(2_500)))
    told: list[str] = []
    evaluate_recommendations(rating_history(path), 100, lambda what, more: told.append(f"{what} {more}"))
    assert told == ["rating model 2500", "River Baseline 2500", "River BiasedMF 2500", "recommendations 2500"]


def test_ratings_that_are_all_equal_have_no_scale_to_judge_on(tmp_path: Path) -> None:
    told = evaluate(ratings_file(tmp_path, HEAD + "a\t1\t3\t1\nb\t1\t3\t2\n"))
    assert told.exit_code == 1
    assert "all ratings are 3" in told.stderr


def test_a_hit_is_a_place_among_the_first_ten() -> None:
    hits = Hits()
    for chosen in (0, 1, 19):
        hits.add(np.arange(20.0, 0.0, -1.0), chosen)
    hits.add(np.zeros(20), 4)
    assert hits.ranks == [0.0, 1.0, 19.0, 9.5]
    assert hits.rate == 0.75
    assert hits.ndcg == pytest.approx((1.0 + 1.0 / np.log2(3.0) + 1.0 / np.log2(11.5)) / 4)


@pytest.mark.data
def test_on_movielens_the_rating_model_is_better_than_rivers_by_one_percent(data_folder: Path) -> None:
    history = rating_history(data_folder / "movielens_100k" / "ratings_first_75000.tsv.gz")
    found = evaluate_recommendations(history, 200, lambda _what, _more: None)
    assert found["n"] == 75_000
    assert found["improvement_mae"] >= 0.01
    assert found["improvement_rmse"] >= 0.01
    assert found["hit_rate_10"] > 0.08
