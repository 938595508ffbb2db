from __future__ import annotations

import multiprocessing

import pytest

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
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        keys = pool.map(load_or_create_key, [tmp_path / "key"] * 8)
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
