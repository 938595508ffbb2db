"""Where the packaged models lie. Imports nothing, so that asset modules may use it."""

from __future__ import annotations

from pathlib import Path

MODELS = Path(__file__).parent / "models"
NAMES = ("generator", "clip", "evaluation_encoder", "factor_classifier")


def packaged(name: str) -> Path:
    """The directory of a packaged model.

    Raises FileNotFoundError when the package holds none (a source tree before the first export).
    """
    path = MODELS / name
    if not path.is_dir():
        raise FileNotFoundError(
            f"no packaged model at {path}: run `python -m zipp_dagster.imaging.train --out DIR "
            f"--export {MODELS}` or name a model in the settings section `imaging`"
        )
    return path
