"""Settings that the tuning of a trained encoder chooses from, in the order in which they are tried.

What lives here: the variants. What does not: the search (`tuning`) and the training.
"""

from __future__ import annotations

from zipp_dagster.encoder.config import Architecture, EncoderSettings

Change = dict[str, int | float]


def training_variants(
    settings: EncoderSettings, count: int, architecture: Architecture
) -> list[tuple[str, EncoderSettings]]:
    """The first `count` variants with what they change, the settings themselves first.

    Each architecture's change what it reads, and so no two of them train alike.
    """
    changes = _lightgcn(settings) if architecture == "lightgcn" else _with_dropout(settings)
    return [
        (
            ", ".join(f"{name} {value:g}" for name, value in change.items()) or "as set",
            settings.model_copy(update=change),
        )
        for change in changes[:count]
    ]


def _with_dropout(settings: EncoderSettings) -> list[Change]:
    slower = settings.lr * 0.4
    dropped = 0.3 if settings.dropout < 0.3 else 0.1
    hidden = 0.5 if settings.id_dropout < 0.5 else 0.1
    return [
        {},
        {"lr": slower, "id_dropout": hidden},
        {"lr": slower},
        {"dropout": dropped, "id_dropout": hidden},
    ]


def _lightgcn(settings: EncoderSettings) -> list[Change]:
    """Propagation has no dropout: what is left are the rate, the decay and the number of layers."""
    slower = settings.lr * 0.4
    return [
        {},
        {"lr": slower},
        {"layers": 1 if settings.layers > 1 else 2},
        {"lr": slower, "weight_decay": 10 * settings.weight_decay or 0.1},
    ]
