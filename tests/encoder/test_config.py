"""Settings that cannot work are refused where they are written."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from zipp_dagster.encoder.config import EncoderSettings


def test_heads_must_divide_the_width():
    with pytest.raises(ValidationError, match="hidden 64 must be a multiple of heads 5"):
        EncoderSettings(heads=5)


def test_an_unknown_setting_is_an_error():
    with pytest.raises(ValidationError, match="hiden"):
        EncoderSettings(hiden=32)
