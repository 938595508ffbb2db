"""Which exceptions are messages for a person: shown in one line, without a traceback."""

from __future__ import annotations

import shutil

NO_ROOM_BYTES = 2**20
"""With less than this free, a database's vague "disk I/O error" means a full disk."""


def known_errors() -> tuple[type[Exception], ...]:
    """The error classes whose text names the file, row or setting and what to do."""
    from zipp_dagster.encoder.model_io import ModelError
    from zipp_dagster.graph.store import GraphError
    from zipp_dagster.imaging.stored_models import StoredModelError
    from zipp_dagster.persona.language_models import LanguageModelError
    from zipp_dagster.personal.entries import PersonaError
    from zipp_dagster.platform.contracts import ContractError
    from zipp_dagster.platform.plan import SelectionError
    from zipp_dagster.platform.registry import RegistryError
    from zipp_dagster.platform.sql_models import SqlModelError
    from zipp_dagster.platform.versions import LakeError
    from zipp_dagster.reddit.dumps import DumpError
    from zipp_dagster.reddit.erasure import ErasureError
    from zipp_dagster.reddit.media import MediaError
    from zipp_dagster.reddit.pseudonyms import PseudonymKeyError
    from zipp_dagster.settings import SettingsError
    from zipp_dagster.studio.records import NotYours
    from zipp_dagster.studio.safety import Refused
    from zipp_dagster.studio.study import StudyError
    from zipp_dagster.zipbench.preferences import VotesError

    return (
        ContractError,
        DumpError,
        ErasureError,
        GraphError,
        LakeError,
        LanguageModelError,
        MediaError,
        ModelError,
        NotYours,
        PersonaError,
        PseudonymKeyError,
        Refused,
        RegistryError,
        SelectionError,
        SettingsError,
        SqlModelError,
        StoredModelError,
        StudyError,
        VotesError,
        FileNotFoundError,
    )


def full_disk(error: Exception) -> str | None:
    """What to say where some library's error comes from a full disk; None where it does not."""
    from zipp_dagster.platform.files import disk_is_full
    from zipp_dagster.settings import settings

    home = settings().home_directory
    free = shutil.disk_usage(home).free if home.is_dir() else NO_ROOM_BYTES
    if not disk_is_full(error) and free >= NO_ROOM_BYTES:
        return None
    return (
        f"the disk that holds {home} is full ({free / 2**20:.1f} MiB free). What was published "
        "stays; free some space (`zipp prune`) or point ZIPP_HOME to a larger disk, and run again"
    )


def registry_trouble(error: BaseException) -> str | None:
    """What to say where MLflow's own error is the news; None where it is not MLflow's."""
    if type(error).__module__.split(".")[0] != "mlflow":
        return None
    from zipp_dagster.settings import settings

    chosen = settings()
    where = chosen.mlflow.tracking_uri or chosen.home_directory / "mlflow" / "mlflow.db"
    return f"MLflow at {where}: {str(error).splitlines()[0]} (mlflow.tracking_uri says where it is)"
