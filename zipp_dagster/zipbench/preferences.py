"""Human votes: reading them strictly, and win rates with ties shown.

A votes file (CSV with a header, or Parquet) holds one row a vote, in these columns:

    study        name of the study
    participant  pseudonym of the voter
    pair         id of the pair of pictures that was shown
    left_method  method whose picture was on the left
    right_method method whose picture was on the right
    choice       left | right | tie
    seconds      time to the vote, ≥ 0
    simulated    true | false: whether a program voted
    created_at   ISO 8601, UTC
    prompt       what both pictures were asked to show (may be left out)
    flags        why a vote is not counted, such as too_fast, separated by spaces (may be left out)

Flagged votes are kept and counted apart; they are in no win rate. Simulated votes are never
counted together with people's. Running a study is not this module's work.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.registry import METHODS, method_order
from zipp_dagster.zipbench.statistics import binomial_test, wilson_interval

VOTES_SCHEMA = pa.schema(
    [
        ("study", pa.string()),
        ("participant", pa.string()),
        ("pair", pa.string()),
        ("left_method", pa.string()),
        ("right_method", pa.string()),
        ("choice", pa.string()),
        ("seconds", pa.float64()),
        ("simulated", pa.bool_()),
        ("created_at", pa.timestamp("us")),
        ("prompt", pa.string()),
        ("flags", pa.string()),
    ]
)
OPTIONAL = ("prompt", "flags")
SCHEMA = pa.schema(
    [
        ("study", pa.string()),
        ("simulated", pa.bool_()),
        ("method", pa.string()),
        ("opponent", pa.string()),
        ("wins", pa.int64()),
        ("losses", pa.int64()),
        ("ties", pa.int64()),
        ("win_rate", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("p_value", pa.float64()),
        ("participants", pa.int64()),
        ("flagged", pa.int64()),
    ]
)
CHOICES = ("left", "right", "tie")


class VotesError(ValueError):
    """A votes file that breaks the schema; names the file and the row (1 = first row of data)."""


@dataclass(frozen=True)
class HumanPreferences:
    """The `human_preferences` table and all votes; where there are none, `reason` says why."""

    table: pa.Table
    votes: int
    reason: str | None
    ballots: pa.Table


def human_preferences(
    settings: ZipbenchSettings,
    *,
    imported: Path | None = None,
    simulated: pa.Table | None = None,
) -> HumanPreferences:
    """Win rates of all votes in `settings.votes_dir`; without votes an empty table and why.

    `imported` is the folder that `zipp study import` fills, read where the setting names none and
    the folder exists; `simulated` are votes of the sample world's raters, counted apart.
    VotesError for a missing folder or a bad row.
    """
    folder = settings.votes_dir
    if folder is None and imported is not None and imported.is_dir():
        folder = imported
    ballots = read_votes(folder) if folder is not None else VOTES_SCHEMA.empty_table()
    reason = None
    if not ballots.num_rows:
        what = f"{folder} holds no votes"
        if folder is None:
            what = "the setting zipbench.votes_dir names no folder, and no study was imported"
        reason = f"no study of people yet: {what}"
    if simulated is not None:
        ballots = pa.concat_tables([ballots, simulated.select(VOTES_SCHEMA.names)])
    table = win_rates(ballots, settings.confidence)
    return HumanPreferences(table, ballots.num_rows, reason, ballots)


def read_votes(folder: Path, names: Sequence[str] | None = None) -> pa.Table:
    """All votes in a folder's .csv and .parquet files, validated; VotesError names file and row.

    `names` keeps it to some of its files. Files whose name starts with a dot are drafts.
    """
    if not folder.is_dir():
        raise VotesError(f"{folder} is not a folder: set zipbench.votes_dir, or leave it empty")
    seen: dict[tuple[str, str, str], str] = {}
    rows: list[dict[str, object]] = []
    for path in sorted(folder.iterdir()):
        wanted = names is None or path.name in names
        if not wanted or path.suffix not in (".csv", ".parquet") or path.name.startswith("."):
            continue
        for number, raw in enumerate(_read(path).to_pylist(), start=1):
            place = f"{path.name}, row {number}"
            vote = _vote(raw, place)
            key = (str(vote["study"]), str(vote["participant"]), str(vote["pair"]))
            if key in seen:
                raise VotesError(
                    f"{place}: participant {key[1]} voted on pair {key[2]} before ({seen[key]})"
                )
            seen[key] = place
            rows.append(vote)
    return pa.Table.from_pylist(rows, schema=VOTES_SCHEMA)


def win_rates(votes: pa.Table, confidence: float = 0.95) -> pa.Table:
    """One row a study and pair of methods: wins, losses, ties, and the win rate without ties.

    Flagged votes are only counted. The interval is Wilson's, the p-value the exact two-sided
    binomial test; both are null when all votes are ties. `method` is the registered system,
    `opponent` the control or baseline where roles differ.
    """
    outcomes: dict[tuple[str, bool, str, str], list[str]] = defaultdict(list)
    flagged: dict[tuple[str, bool, str, str], int] = defaultdict(int)
    voters: dict[tuple[str, bool, str, str], set[str]] = defaultdict(set)
    for vote in votes.to_pylist():
        pair = (vote["left_method"], vote["right_method"])
        method, opponent = sorted(pair, key=_seniority)
        key = (vote["study"], vote["simulated"], method, opponent)
        if vote["flags"]:
            flagged[key] += 1
            outcomes.setdefault(key, [])
            continue
        chosen = {"left": pair[0], "right": pair[1], "tie": None}[vote["choice"]]
        outcomes[key].append("tie" if chosen is None else "win" if chosen == method else "loss")
        voters[key].add(vote["participant"])
    rows = []
    for key in sorted(outcomes, key=lambda k: (k[0], k[1], _seniority(k[2]), _seniority(k[3]))):
        wins, losses, ties = (outcomes[key].count(name) for name in ("win", "loss", "tie"))
        decided = wins + losses
        rate = wilson_interval(wins, decided, confidence) if decided else None
        rows.append(
            dict(zip(("study", "simulated", "method", "opponent"), key, strict=True))
            | {
                "wins": wins,
                "losses": losses,
                "ties": ties,
                "win_rate": rate.value if rate else None,
                "low": rate.low if rate else None,
                "high": rate.high if rate else None,
                "p_value": binomial_test(wins, decided) if decided else None,
                "participants": len(voters[key]),
                "flagged": flagged[key],
            }
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def vote_rows(table: pa.Table, confidence: float = 0.95) -> list[dict[str, object]]:
    """Win rates as rows of the leaderboard, all studies of a pair together, people's votes and
    simulated ones apart: metric `vote_win_rate` or `simulated_vote_win_rate`, cases are decided votes.

    Args:
        table: the `human_preferences` table.
        confidence: of Wilson's interval.
    """
    together: dict[tuple[bool, str, str], list[int]] = {}
    for row in table.to_pylist():
        counts = together.setdefault((row["simulated"], row["method"], row["opponent"]), [0, 0, 0])
        for place, name in enumerate(("wins", "losses", "participants")):
            counts[place] += row[name]
    rows: list[dict[str, object]] = []
    for (simulated, method, opponent), (wins, losses, people) in together.items():
        decided = wins + losses
        rate = wilson_interval(wins, decided, confidence) if decided else None
        rows.append(
            {
                "method": method,
                "metric": "simulated_vote_win_rate" if simulated else "vote_win_rate",
                "baseline": opponent,
                "split": "all",
                "value": rate.value if rate else None,
                "low": rate.low if rate else None,
                "high": rate.high if rate else None,
                "p_value": binomial_test(wins, decided) if decided else None,
                "cases": decided,
                "users": people,
            }
        )
    return rows


def _seniority(method: str) -> tuple[bool, tuple[int, str]]:
    """Our own methods first, so that a rate above one half reads as a win of ours."""
    ours = method in METHODS and METHODS[method].role == "ours"
    return (not ours, method_order(method))


def _read(path: Path) -> pa.Table:
    """A file's columns as text (CSV) or as they are (Parquet)."""
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
        else:
            types = dict.fromkeys(VOTES_SCHEMA.names, pa.string())
            options = csv.ConvertOptions(column_types=types, strings_can_be_null=False)
            table = csv.read_csv(path, convert_options=options)
    except pa.ArrowInvalid as error:
        raise VotesError(f"{path.name} cannot be read: {error}") from error
    for name in OPTIONAL:
        if name not in table.column_names:
            table = table.append_column(name, pa.array([""] * table.num_rows, pa.string()))
    missing = [name for name in VOTES_SCHEMA.names if name not in table.column_names]
    extra = [name for name in table.column_names if name not in VOTES_SCHEMA.names]
    if missing or extra:
        raise VotesError(
            f"{path.name}: columns must be exactly {', '.join(VOTES_SCHEMA.names)};"
            f" missing {missing}, unexpected {extra}"
        )
    return table


def _vote(raw: dict[str, object], place: str) -> dict[str, object]:
    vote = dict(raw)
    for name in ("study", "participant", "pair", "left_method", "right_method"):
        if not isinstance(vote[name], str) or not str(vote[name]).strip():
            raise VotesError(f"{place}: {name} is empty")
    if vote["left_method"] == vote["right_method"]:
        raise VotesError(f"{place}: both sides are {vote['left_method']!r}")
    if vote["choice"] not in CHOICES:
        raise VotesError(f"{place}: choice is {vote['choice']!r}, not one of {', '.join(CHOICES)}")
    vote["seconds"] = _seconds(vote["seconds"], place)
    vote["simulated"] = _flag(vote["simulated"], place)
    for name in OPTIONAL:
        vote[name] = vote[name] or ""
    vote["created_at"] = _time(vote["created_at"], place)
    return vote


def _seconds(value: object, place: str) -> float:
    try:
        seconds = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise VotesError(f"{place}: seconds is {value!r}, not a number") from error
    if not 0 <= seconds < float("inf"):
        raise VotesError(f"{place}: seconds is {value!r}; it must be 0 or more")
    return seconds


def _flag(value: object, place: str) -> bool:
    if isinstance(value, bool):
        return value
    flags = {"true": True, "false": False}
    if not isinstance(value, str) or value.lower() not in flags:
        raise VotesError(f"{place}: simulated is {value!r}, not true or false")
    return flags[value.lower()]


def _time(value: object, place: str) -> datetime:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as error:
        raise VotesError(f"{place}: created_at is {value!r}, not an ISO 8601 time") from error
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
