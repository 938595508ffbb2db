from __future__ import annotations

import pytest
from pydantic import ValidationError

from zipp_dagster.sampleworld.config import WorldSettings


def test_the_defaults_are_the_sample_profiles_world() -> None:
    settings = WorldSettings()
    assert (settings.people, settings.communities, settings.months) == (2000, 120, 3)
    assert settings.taste_coupling == 1.0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("taste_coupling", 1.01),
        ("taste_coupling", -0.1),
        ("people", 19),
        ("communities", 11),
        ("months", 0),
        ("start_month", "2024-13"),
        ("start_month", "24-01"),
        ("media_format", "gif"),
        ("seed", -1),
        ("image_size", 8),
    ],
)
def test_a_value_out_of_range_is_an_error_that_names_the_setting(key: str, value: object) -> None:
    with pytest.raises(ValidationError, match=key):
        WorldSettings.model_validate({key: value})


def test_an_unknown_setting_is_an_error() -> None:
    with pytest.raises(ValidationError, match="persons"):
        WorldSettings.model_validate({"persons": 10})


def test_months_after_2099_are_refused() -> None:
    with pytest.raises(ValidationError, match="start_month 2099-11 plus 3 months"):
        WorldSettings(start_month="2099-11", months=3)
    assert WorldSettings(start_month="2099-10", months=3).months == 3
