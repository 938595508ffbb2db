"""A study as a bundle of files: export for analysis, import into the asset human_preferences.

    study.json    the configuration, and when it was exported
    votes.csv     one row a vote, in the columns of zipbench.preferences, flags included
    audit.csv     what drew both sides of each vote: method, prompt, model, persona id, seed
    ratings.csv   of a persona quality study
    results.json  what the Results room shows
    intake.csv    the participants' answers, only when asked for

Participants are pseudonyms that exist nowhere else; tokens are never exported.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from zipp_dagster.studio import rating_store
from zipp_dagster.studio.quality import with_flags
from zipp_dagster.studio.results import rating_results, study_results
from zipp_dagster.studio.store import Store
from zipp_dagster.studio.study import StudyError, checked_study
from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.preferences import VOTES_SCHEMA, read_votes

_AUDIT = ("method", "prompt", "persona_id", "seed", "models")


def export_study(
    store: Store,
    name: str,
    out: Path,
    settings: ZipbenchSettings,
    *,
    with_intake: bool = False,
) -> dict[str, int]:
    """Writes a bundle; returns the number of votes (or ratings) and people.

    StudyError where the folder is not empty: two exports must not mix.
    """
    study = store.study(name)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StudyError(f"{out} is not an empty folder: choose a new one for the bundle")
    out.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {"study": study.model_dump(mode="json")}
    document["exported_at"] = datetime.now(UTC).isoformat(timespec="seconds")
    _json(out / "study.json", document)
    if study.kind == "persona_quality":
        rows = rating_store.ratings(store, name)
        columns = ("participant", "position", "persona_id", *rating_store.DIMENSIONS, "created_at")
        _csv(out / "ratings.csv", columns, rows)
        _json(out / "results.json", rating_results(store, study))
        return {"ratings": len(rows), "people": len({row["participant"] for row in rows})}
    everything = store.votes(name)
    votes = with_flags(everything)
    _csv(out / "votes.csv", VOTES_SCHEMA.names, [_vote(name, vote) for vote in votes])
    sides = [f"{side}_{what}" for side in ("left", "right") for what in _AUDIT]
    _csv(out / "audit.csv", ("pair", "kind", *sides), [_audit(vote) for vote in everything])
    _json(out / "results.json", study_results(store, study, settings))
    if with_intake:
        answers = {v["participant"]: json.loads(v["intake"]) for v in votes}
        names = ("participant", "age_band", "surroundings", "work", "profession", "hobbies")
        rows = [
            {"participant": who, **told, "hobbies": " ".join(told.get("hobbies", []))}
            for who, told in sorted(answers.items())
        ]
        _csv(out / "intake.csv", names, rows)
    return {"votes": len(votes), "people": len({vote["participant"] for vote in votes})}


def import_votes(bundle: Path, home: Path, votes_dir: Path | None) -> tuple[str, int, Path]:
    """Puts a bundle's votes where human_preferences reads them; again, it replaces them.

    Returns the study's name, the number of votes, and the file. StudyError or VotesError where the
    bundle is damaged.
    """
    try:
        document = json.loads((bundle / "study.json").read_text("utf-8"))
        config = document["study"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(
            f"{bundle} is no bundle of a study (study.json: {error}); `zipp study export` writes one"
        ) from error
    study = checked_study(config, str(bundle / "study.json"))
    if study.kind != "preference":
        raise StudyError(
            f"{study.name} is a study of ratings: its ratings.csv and results.json"
            " are read as they are; human_preferences counts votes only"
        )
    if not (bundle / "votes.csv").is_file():
        raise StudyError(f"{bundle} has no votes.csv")
    votes = read_votes(bundle, names=("votes.csv",))
    others = sorted({row["study"] for row in votes.select(["study"]).to_pylist()} - {study.name})
    if others:
        raise StudyError(
            f"{bundle / 'votes.csv'} holds votes of other studies: {', '.join(others)}"
        )
    folder = votes_dir or home / "votes"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{study.name}.csv"
    draft = folder / f".{study.name}.draft"
    draft.write_bytes((bundle / "votes.csv").read_bytes())
    draft.replace(target)
    return study.name, votes.num_rows, target


def _vote(study: str, vote: Mapping[str, Any]) -> dict[str, Any]:
    simulated = "true" if vote["simulated"] else "false"
    return {name: vote.get(name, "") for name in VOTES_SCHEMA.names} | {
        "study": study,
        "simulated": simulated,
    }


def _audit(vote: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"pair": vote["pair"], "kind": vote["kind"]}
    for side, audit in json.loads(vote["audit"]).items():
        for what in _AUDIT:
            value = audit.get(what)
            text = json.dumps(value, sort_keys=True) if isinstance(value, dict) else value
            found[f"{side}_{what}"] = text
    return found


def _json(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n", "utf-8")


def _csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)


def _harmless(value: Any) -> Any:
    """A spreadsheet runs what starts like a formula; a leading apostrophe keeps it text."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value
