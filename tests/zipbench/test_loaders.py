from __future__ import annotations

import json
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zipp_dagster.zipbench.cases import NEAR_DUPLICATE, TARGET_IN_HISTORY, CasesError, PastImage
from zipp_dagster.zipbench.loaders import load_cases
from zipp_dagster.zipbench.loaders.movielens import poster_prompt


def test_an_unknown_data_set_is_an_error_that_lists_the_known(tmp_path):
    with pytest.raises(ValueError, match="there are pip, movielens, rapidata, pickapic"):
        load_cases("imagenet", tmp_path)


# PIP


def sample(prompt: str, number: int, **more: object) -> dict[str, object]:
    row = {"prompt": prompt, "result_url": f"https://x/{number}.png", "id": number, "user_id": "u"}
    return row | {"NSFW": "Unlikely"} | more


def write_pip(folder, name: str, train: list, test: list) -> None:
    lines = ["train_samples:", *train, "test_samples:", *test]
    text = "\n".join(json.dumps(line) for line in lines)
    (folder / f"{name}.jsonl").write_text(text + "\n", "utf-8")


def test_pip_splits_by_its_markers_whatever_the_number_of_lines(tmp_path):
    history = [sample(f"a castle number {n}", n) for n in range(4)]
    write_pip(tmp_path, "u1", history, [sample("a fox, oil, 8k", 9, query="a fox")])
    (case,) = load_cases("pip", tmp_path).cases
    # By position (`lines[1:-3]`, `lines[-2:]`) the last castle would be lost and the marker a query.
    assert [past.prompt for past in case.history] == [f"a castle number {n}" for n in range(4)]
    assert (case.base_prompt, case.reference_prompt) == ("a fox", "a fox, oil, 8k")
    assert case.reference_image == "https://x/9.png" and case.case_id == "pip/u1/9"


def test_the_person_of_pip_is_the_file_and_stray_spaces_and_quotes_go(tmp_path):
    test = [
        sample("  a fox ,  oil\n8k ", 1, query=' " a fox" ', user_id="somebody else"),
        {k: v for k, v in sample("an owl", 2, query="owl").items() if k != "user_id"},
    ]
    write_pip(tmp_path, "u1", [sample("a ship", 3)], test)
    first, second = load_cases("pip", tmp_path).cases
    assert (first.base_prompt, first.reference_prompt) == ("a fox", "a fox, oil 8k")
    assert first.user_id == second.user_id == "u1"


def test_a_target_of_pip_that_is_in_the_history_is_flagged_and_nsfw_left_out_and_counted(tmp_path):
    train = [
        sample("a fox, oil", 1),
        sample("nude", 2, NSFW="NSFW"),
        sample("red big owl at sea", 3),
    ]
    test = [
        sample("A fox - oil", 4, query="fox"),
        sample("big red owl at sea", 5, query="owl"),
        sample("bad", 6, query="bad", NSFW="NSFW"),
    ]
    write_pip(tmp_path, "u1", train, test)
    cases = load_cases("pip", tmp_path)
    assert cases.leaks == ((TARGET_IN_HISTORY,), (NEAR_DUPLICATE,))
    assert cases.dropped == {"history marked NSFW": 1, "target marked NSFW": 1}
    assert cases.counts()["leaked"] == 2


def test_what_is_not_pip_is_named_with_file_and_line(tmp_path):
    with pytest.raises(CasesError, match="holds no USER.jsonl"):
        load_cases("pip", tmp_path)
    path = tmp_path / "u.jsonl"
    path.write_text('"train_samples:"\n{"prompt": "a"}\n')
    with pytest.raises(CasesError, match=r"u\.jsonl has no line 'test_samples:'"):
        load_cases("pip", tmp_path)
    path.write_text('"train_samples:"\n"test_samples:"\n{"prompt": "a"}\n')
    with pytest.raises(CasesError, match=r"u\.jsonl, line 3: 'query' is None"):
        load_cases("pip", tmp_path)


# Rapidata


def write_rapidata(path, votes: list[dict], **columns: object) -> None:
    row = {
        " prompt": " a  fox ",
        "image1": {"bytes": b"1", "path": "one.png"},
        "image2": {"bytes": b"2", "path": "two.png"},
        "model1": "flux",
        "model2": "sdxl",
        "detailed_results": json.dumps({"votes": votes}),
    }
    pq.write_table(pa.Table.from_pylist([row | columns]), path)


DETAILS = {"age": "18-29", "gender": " Female ", "country": "KE", "occupation": "unknown"}


def test_a_vote_of_rapidata_is_a_case_of_somebody_with_these_attributes(tmp_path):
    votes = [
        {"votedFor": "two.png", "userDetails": DETAILS},
        {"votedFor": "flux", "userDetails": DETAILS},
        {"votedFor": "image2", "userDetails": DETAILS | {"country": "PE"}},
    ]
    write_rapidata(tmp_path / "p.parquet", votes)
    cases = load_cases("rapidata", tmp_path).cases
    assert [(c.preferred_image, c.rejected_image) for c in cases] == [
        ("two.png", "one.png"),
        ("one.png", "two.png"),
        ("two.png", "one.png"),
    ]
    assert cases[0].base_prompt == "a fox"
    assert cases[0].groups == {"age_band": "18-29", "gender": "Female", "country": "KE"}
    assert cases[0].user_id == cases[1].user_id != cases[2].user_id


def test_votes_without_details_or_for_neither_picture_are_counted_and_no_case(tmp_path):
    votes = [
        {"votedFor": "one.png"},
        {"votedFor": "one.png", "userDetails": {}},
        {"votedFor": "three.png", "userDetails": DETAILS},
    ]
    write_rapidata(tmp_path / "p.parquet", votes)
    cases = load_cases("rapidata", tmp_path / "p.parquet")
    assert cases.cases == ()
    assert cases.dropped == {"vote without userDetails": 2, "vote for neither picture": 1}


def test_what_is_not_rapidata_is_named_with_its_column_or_row(tmp_path):
    pq.write_table(pa.table({"prompt": ["a"]}), tmp_path / "p.parquet")
    with pytest.raises(CasesError, match="no column 'image1'"):
        load_cases("rapidata", tmp_path)
    write_rapidata(tmp_path / "p.parquet", [], detailed_results="not json")
    with pytest.raises(CasesError, match=r"row 0: detailed_results is not JSON"):
        load_cases("rapidata", tmp_path)


# Pick-a-Pic


def judgement(user: int, day: int, caption: str, label_0: float = 1.0, **more: object) -> dict:
    return {
        "caption": caption,
        "created_at": datetime(2023, 1, 1) + timedelta(days=day),
        "has_label": True,
        "image_0_uid": f"{user}-{day}-0",
        "image_1_uid": f"{user}-{day}-1",
        "label_0": label_0,
        "label_1": 1.0 - label_0,
        "ranking_id": 100 * user + day,
        "user_id": user,
        "jpg_0": b"x",
    } | more


def write_pickapic(path, *rows: dict) -> None:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)


def test_the_last_judgements_in_time_are_held_out_and_earlier_preferences_are_history(tmp_path):
    rows = [judgement(1, day, f"caption {day}", label_0=day % 2) for day in (3, 0, 2, 1)]
    write_pickapic(tmp_path / "a.parquet", *rows)
    first, second = load_cases("pickapic", tmp_path).cases
    assert (first.base_prompt, second.base_prompt) == ("caption 2", "caption 3")
    assert (first.preferred_image, first.rejected_image) == ("1-2-1", "1-2-0")
    assert first.history == (PastImage("caption 0", "1-0-1"), PastImage("caption 1", "1-1-0"))


def test_rounds_of_the_held_out_ranking_are_no_history_of_it(tmp_path):
    rows = [judgement(1, day, "the same", ranking_id=7) for day in range(4)]
    write_pickapic(tmp_path / "a.parquet", judgement(1, -1, "another"), *rows)
    cases = load_cases("pickapic", tmp_path)
    assert [past.prompt for past in cases.cases[0].history] == ["another"]
    assert len({case.case_id for case in cases.cases}) == 2


def test_rows_without_a_label_ties_and_lone_judgements_are_counted_and_no_case(tmp_path):
    write_pickapic(
        tmp_path / "a.parquet",
        judgement(1, 0, "a", has_label=False),
        judgement(1, 1, "b", label_0=0.5),
        judgement(1, 2, " "),
        judgement(1, 3, "d"),
        judgement(2, 4, "e", user_id=None),
    )
    cases = load_cases("pickapic", tmp_path)
    assert cases.cases == () and cases.dropped == {
        "no label": 1,
        "tie": 1,
        "no caption": 1,
        "no user_id": 1,
        "person with one judgement": 1,
    }


# MovieLens


def write_movielens(folder, ratings: str, movies: str, old: bool = False, users: str = "") -> None:
    suffix = "dat" if old else "csv"
    heads = {"ratings": "userId,movieId,rating,timestamp\n", "movies": "movieId,title,genres\n"}
    for name, text in (("ratings", ratings), ("movies", movies)):
        (folder / f"{name}.{suffix}").write_text(("" if old else heads[name]) + text)
    if users:
        (folder / "users.dat").write_text(users)
    (folder / "posters").mkdir()
    for movie in (1, 2, 3):
        (folder / "posters" / f"{movie}.jpg").write_bytes(b"")


MOVIES = (
    '1,"Matrix, The (1999)",Action|Sci-Fi\n2,Up ,(no genres listed)\n3,Heat (1995),Crime\n4,X,Y\n'
)


def test_the_last_liked_poster_is_preferred_over_the_last_disliked_one(tmp_path):
    write_movielens(tmp_path, "9,1,5.0,300\n9,2,4.0,100\n9,3,2.0,200\n9,4,5.0,400\n", MOVIES)
    cases = load_cases("movielens", tmp_path)
    (case,) = cases.cases
    assert case.base_prompt == "a film poster of The Matrix (1999), action, sci-fi"
    assert (case.preferred_image, case.rejected_image) == ("posters/1.jpg", "posters/3.jpg")
    assert case.history == (PastImage("a film poster of Up", "posters/2.jpg"),)
    assert cases.dropped == {"rating of a film without a poster": 1} and case.groups == {}


def test_the_old_format_brings_demographics_and_who_likes_everything_is_no_case(tmp_path):
    write_movielens(
        tmp_path,
        "1::1::5::10\n1::2::1::20\n2::1::5::10\n2::2::4::20\n",
        "1::Am\xe9lie (2001)::Comedy\n2::B::Drama\n".encode("latin-1").decode("latin-1"),
        old=True,
        users="1::F::25::6::0\n2::M::1::0::0\n",
    )
    (tmp_path / "movies.dat").write_bytes(b"1::Am\xe9lie (2001)::Comedy\n2::B::Drama\n")
    cases = load_cases("movielens", tmp_path)
    (case,) = cases.cases
    assert case.groups == {"gender": "female", "age_band": "25-34"}
    assert "Amélie" in case.base_prompt
    assert cases.dropped == {"person without both likes and dislikes": 1}


def test_what_is_not_movielens_is_named(tmp_path):
    with pytest.raises(CasesError, match="no posters/ folder"):
        load_cases("movielens", tmp_path)
    write_movielens(tmp_path, "9,7,5.0,300\n", MOVIES)
    with pytest.raises(CasesError, match="user 9 rated film 7, which movies lacks"):
        load_cases("movielens", tmp_path)
    (tmp_path / "ratings.csv").write_text("h\n1,2\n")
    with pytest.raises(CasesError, match=r"ratings\.csv, line 2: 2 fields, 4 expected"):
        load_cases("movielens", tmp_path)


def test_a_poster_prompt_keeps_a_title_without_a_year():
    assert poster_prompt("Up", "Drama") == "a film poster of Up, drama"
