"""Settings that the tuning of a trained encoder chooses from, in the order in which they are tried.

What lives here: the variants. What does not: the search (`tuning`) and the training.
"""

from __future__ import annotations

from zipp_dagster.encoder.config import EncoderSettings


def training_variants(settings: EncoderSettings, count: int) -> list[tuple[str, EncoderSettings]]:
    """The first `count` variants with what they change, the settings themselves first."""
    slower, dropped = settings.lr * 0.4, max(settings.dropout, 0.3)
    changes: tuple[dict[str, float], ...] = (
        {},
        {"lr": slower, "id_dropout": max(settings.id_dropout, 0.5)},
        {"lr": slower},
        {"dropout": dropped, "id_dropout": max(settings.id_dropout, 0.5)},
    )
    return [
        (
            ", ".join(f"{name} {value:g}" for name, value in change.items()) or "as set",
            settings.model_copy(update=change),
        )
        for change in changes[:count]
    ]
