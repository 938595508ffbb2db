from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zipp_dagster.reddit.pseudonyms import (
    Pseudonymizer,
    PseudonymKeyError,
    key_from_text,
    load_or_create_key,
)


def test_a_pseudonym_ignores_case_and_depends_on_the_key():
    one, two = Pseudonymizer(b"1" * 32), Pseudonymizer(b"2" * 32)
    assert one.user("Alice") == one.user("alice") != one.user("bob")
    assert one.user("alice") != two.user("alice")
    assert one.user("alice") != one.item("alice")
    assert 0 <= one.user("alice") < 2**64
    assert one.fingerprint != two.fingerprint


def test_the_key_file_is_made_once_and_private(tmp_path):
    path = tmp_path / "secrets" / "pseudonym.key"
    key = load_or_create_key(path)
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create_key(path) == key
    assert [p.name for p in path.parent.iterdir()] == ["pseudonym.key"]


def test_processes_that_start_together_agree_on_one_key(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    # Not a Pool, which terminates its workers at the end: that hung once in hundreds of runs.
    with ProcessPoolExecutor(2, mp_context=spawn) as pool:
        keys = list(pool.map(load_or_create_key, [tmp_path / "key"] * 8))
    assert len(set(keys)) == 1


def test_a_key_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "key"
    load_or_create_key(path)
    path.chmod(0o644)
    with pytest.raises(PseudonymKeyError, match="chmod 600"):
        load_or_create_key(path)


def test_a_damaged_key_is_never_replaced(tmp_path):
    path = tmp_path / "key"
    path.write_text("0011")
    path.chmod(0o600)
    with pytest.raises(PseudonymKeyError, match="Restore it"):
        load_or_create_key(path)
    assert path.read_text() == "0011"


def test_a_short_secret_is_refused():
    assert len(key_from_text("a secret of some length")) == 32
    with pytest.raises(PseudonymKeyError, match="at least 16"):
        key_from_text("short")


@settings(max_examples=60, deadline=None)
@given(
    key=st.binary(min_size=16, max_size=64),
    names=st.lists(st.text("abcXYZ019_-[]", min_size=1, max_size=100), min_size=1, max_size=130),
)
def test_the_pseudonyms_of_a_block_are_those_of_single_names(key, names):
    pseudonymizer = Pseudonymizer(key)
    data, starts, lengths = laid_out(names)
    wanted = np.arange(len(names)) % 5 != 3
    users = pseudonymizer.users_in(data, starts, lengths, wanted)
    items = pseudonymizer.items_in(b"t1_", data, starts, lengths, wanted)
    for place, name in enumerate(names):
        single = (pseudonymizer.user(name), pseudonymizer.item(f"t1_{name}"))
        assert (users[place], items[place]) == (single if wanted[place] else (0, 0))


def test_pseudonyms_are_the_same_while_other_threads_work():
    # Once the working memory was freed too early, and another thread's bytes went into names.
    pseudonymizer = Pseudonymizer(b"4" * 32)
    names = [f"name{n}" for n in range(512)]
    expected = [pseudonymizer.user(name) for name in names]
    place, wanted = laid_out(names), np.ones(len(names), dtype=bool)

    def rounds(_: int) -> int:
        return sum(pseudonymizer.users_in(*place, wanted).tolist() != expected for _ in range(2000))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(rounds, range(4))) == 0


def test_a_million_names_have_a_million_pseudonyms_and_each_half_collides_as_chance_has_it():
    # Birthdays: n²/2 pairs over 2^64 are 2.7e-8 collisions; over 2^32, in each half, 116.
    names = [f"User_{n:x}" for n in range(1_000_000)]
    users = Pseudonymizer(b"3" * 32).users_in(*laid_out(names), np.ones(len(names), dtype=bool))
    assert len(np.unique(users)) == len(names)
    for half in (users & np.uint64(0xFFFFFFFF), users >> np.uint64(32)):
        assert len(names) - len(np.unique(half)) == pytest.approx(116, abs=54)  # 5 deviations


def laid_out(names: list[str]) -> tuple:
    lengths = np.array([len(name) for name in names], dtype=np.int32)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int32)
    return np.frombuffer("".join(names).encode(), dtype=np.uint8), starts, lengths
