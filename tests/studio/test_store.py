from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.studio.conftest import png, prefers, take_part
from zipp_dagster.studio import tables as t
from zipp_dagster.studio.records import NotYours, Picture, StudyFull
from zipp_dagster.studio.store import Store
from zipp_dagster.studio.study import StudyConfig, StudyError


class Clock:
    def __init__(self):
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        return self.now

    def after(self, seconds):
        self.now += timedelta(seconds=seconds)


def draw_all(store, state="different"):
    for row in store.planned():
        right = png("l", row["id"]) if state == "same" else png("r", row["id"])
        store.save_drawing(
            row["id"], Picture(png("l", row["id"]), {"m": 1}), Picture(right, {"m": 2})
        )


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def timed(tmp_path, study, clock):
    made = Store(f"sqlite:///{tmp_path / 'timed.db'}", clock=clock)
    made.create(study)
    yield made
    made.close()


def rows(store, table):
    with store.reading() as c:
        return c.scalar(select(func.count()).select_from(table))


def test_the_first_vote_counts_and_a_second_changes_nothing(timed, study):
    who, _ = timed.join(study, {}, "text")
    draw_all(timed)
    pair = timed.next_pair(who.id).pair
    assert timed.vote(who.id, pair, "left", 0.5) is True
    assert timed.vote(who.id, pair, "right", 0.5) is False
    (vote,) = timed.votes("pilot")
    assert vote["choice"] == "left"


def test_twenty_equal_votes_at_once_are_one_vote(timed, study):
    who, _ = timed.join(study, {}, "text")
    draw_all(timed)
    pair = timed.next_pair(who.id).pair
    new = []
    threads = [
        threading.Thread(target=lambda: new.append(timed.vote(who.id, pair, "left", 0.5)))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(new) == [False] * 19 + [True] and len(timed.votes("pilot")) == 1


def test_a_vote_carries_what_drew_each_side(timed, study):
    who, _ = timed.join(study, {}, "text")
    draw_all(timed)
    timed.vote(who.id, timed.next_pair(who.id).pair, "tie", 0.5)
    assert timed.votes("pilot")[0]["audit"] == '{"left": {"m": 1}, "right": {"m": 2}}'


def test_a_fast_vote_is_flagged_and_a_reload_does_not_make_one_fast(timed, study, clock):
    who, _ = timed.join(study, {}, "text")
    draw_all(timed)
    pair = timed.next_pair(who.id).pair
    clock.after(3)
    assert timed.next_pair(who.id).pair == pair
    clock.after(0.1)
    timed.vote(who.id, pair, "left", 0.8)
    following = timed.next_pair(who.id).pair
    clock.after(0.5)
    timed.vote(who.id, following, "left", 0.8)
    found = [(vote["seconds"], vote["flags"]) for vote in timed.votes("pilot")]
    assert found == [(3.1, ""), (0.5, "too_fast")]


def test_after_a_long_absence_the_clock_starts_again(timed, study, clock):
    who, _ = timed.join(study, {}, "text")
    draw_all(timed)
    pair = timed.next_pair(who.id).pair
    clock.after(86_400)
    timed.next_pair(who.id)
    clock.after(4)
    timed.vote(who.id, pair, "left", 0.8)
    assert timed.votes("pilot")[0]["seconds"] == 4.0


def test_a_pair_cannot_be_voted_on_before_it_was_shown(timed, study):
    who, _ = timed.join(study, {}, "text")
    draw_all(timed)
    unseen = timed.pairs_of(who.id)[2][0]
    with pytest.raises(NotYours):
        timed.vote(who.id, unseen, "left", 0.5)


def test_nobody_can_vote_on_or_see_what_is_anothers(timed, study):
    mine, _ = timed.join(study, {}, "text")
    other, _ = timed.join(study, {}, "text")
    draw_all(timed)
    shown = timed.next_pair(other.id)
    with pytest.raises(NotYours):
        timed.vote(mine.id, shown.pair, "left", 0.5)
    with pytest.raises(NotYours):
        timed.picture(mine.id, shown.left)
    assert timed.picture(other.id, shown.left).startswith(b"\x89PNG")
    assert timed.votes("pilot") == []


def test_a_token_opens_its_owners_place_only_and_is_not_kept(timed, study):
    who, token = timed.join(study, {"age_band": "25-34"}, "text")
    assert timed.participant(token) == who and len(token) == 32
    for guess in (who.id, token[:-1], token + "a", "", "%"):
        with pytest.raises(NotYours):
            timed.participant(guess)
    assert token.encode() not in Path(timed.engine.url.database).read_bytes()


def test_withdrawal_deletes_everything_of_one_and_nothing_of_others(timed, study):
    first = take_part(timed, study, prefers("zipp_0shot"), intake={"place": "Zanzibar"})
    take_part(timed, study, prefers("zipp_0shot"))
    before = rows(timed, t.votes)
    timed.withdraw(first)
    assert rows(timed, t.participants) == 1 and rows(timed, t.votes) == before / 2
    assert rows(timed, t.pairs) == 5 and rows(timed, t.pictures) == 10
    timed.close()
    file = Path(timed.engine.url.database)
    assert b"Zanzibar" not in file.read_bytes(), "its bytes are gone from the file too"


def test_a_study_takes_no_more_people_than_it_wants(timed, study):
    for _ in range(study.participants):
        timed.join(study, {}, "text")
    with pytest.raises(StudyFull):
        timed.join(study, {}, "text")


def test_a_pair_whose_sides_are_the_same_picture_is_never_shown(timed, study):
    who, _ = timed.join(study, {}, "text")
    draw_all(timed, "same")
    assert timed.next_pair(who.id).state == "done"
    assert timed.counts("pilot")["void_pairs"] == 5


def test_progress_counts_what_is_left_and_the_end_is_noted(timed, study):
    who, _ = timed.join(study, {}, "text")
    assert timed.next_pair(who.id).state == "drawing"
    draw_all(timed)
    seen = [timed.next_pair(who.id)]
    while seen[-1].state == "pair":
        timed.vote(who.id, seen[-1].pair, "tie", 0.5)
        seen.append(timed.next_pair(who.id))
    assert [(s.number, s.total) for s in seen[:-1]] == [(i, 5) for i in range(1, 6)]
    assert timed.counts("pilot") == {"joined": 1, "finished": 1, "void_pairs": 0}


def test_a_study_never_changes(timed, study):
    with pytest.raises(StudyError, match="a study never changes"):
        timed.create(StudyConfig(name="pilot", pairs=9))
    assert timed.study("pilot") == study


def test_a_drawing_for_somebody_who_withdrew_is_dropped(timed, study):
    who, _ = timed.join(study, {}, "text")
    row = timed.planned()[0]
    timed.withdraw(who.id)
    assert timed.save_drawing(row["id"], Picture(b"a", {}), Picture(b"b", {})) is False


@pytest.mark.parametrize("url", ["mysql://host/name", "no url at all"])
def test_a_database_of_another_system_is_refused(url):
    with pytest.raises(StudyError, match=r"studio\.database_url"):
        Store(url)
