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

Votes of one person are alike, and so are votes on one prompt: intervals and p-values resample both.
Wilson's interval and the exact binomial test, which take votes as independent, stand beside them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from zipp_dagster.zipbench.config import ZipbenchSettings
from zipp_dagster.zipbench.families import adjust
from zipp_dagster.zipbench.registry import METHODS, method_order
from zipp_dagster.zipbench.statistics import (
    Bootstrap,
    binomial_test,
    two_way_difference,
    wilson_interval,
)

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
        ("p_holm", pa.float64()),
        ("wilson_low", pa.float64()),
        ("wilson_high", pa.float64()),
        ("binomial_p", pa.float64()),
        ("participants", pa.int64()),
        ("prompts", pa.int64()),
        ("flagged", pa.int64()),
    ]
)
_EVEN = 0.5
"""The win rate where neither method is preferred."""
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
    table = win_rates(ballots, Bootstrap.of(settings))
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


def win_rates(votes: pa.Table, bootstrap: Bootstrap) -> pa.Table:
    """One row a study and pair of methods: wins, losses, ties, and the win rate without ties.

    Flagged votes are only counted. Interval and p-value (of a rate of one half) resample people and
    prompts; they are null with fewer than two of either among the decided votes. `p_holm` is adjusted
    over the pairs of a study. Wilson's interval and the exact binomial test are null when all votes
    are ties. `method` is the registered system, `opponent` the control or baseline where roles differ.
    """
    tallies: dict[tuple[str, bool, str, str], _Tally] = defaultdict(_Tally)
    for vote in votes.to_pylist():
        method, opponent = _pair(vote)
        tallies[vote["study"], vote["simulated"], method, opponent].add(vote, method)
    rows = []
    for key in sorted(tallies, key=lambda k: (k[0], k[1], _seniority(k[2]), _seniority(k[3]))):
        tally = tallies[key]
        rate = tally.rate(bootstrap)
        rows.append(
            dict(zip(("study", "simulated", "method", "opponent"), key, strict=True))
            | {
                "wins": sum(tally.won),
                "losses": len(tally.won) - sum(tally.won),
                "ties": tally.ties,
                "win_rate": rate.pop("value"),
                **rate,
                "participants": len(tally.people),
                "prompts": len(tally.prompts),
                "flagged": tally.flagged,
            }
        )
    adjust(rows, lambda row: (row["study"], row["simulated"]))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def vote_rows(votes: pa.Table, bootstrap: Bootstrap) -> list[dict[str, object]]:
    """Win rates as rows of the leaderboard, all studies of a pair together, people's votes and
    simulated ones apart: metric `vote_win_rate` or `simulated_vote_win_rate`, cases are decided votes.

    Args:
        votes: all votes (VOTES_SCHEMA), flagged ones included.
        bootstrap: of intervals and p-values; `p_holm` is adjusted within each metric.
    """
    together: dict[tuple[bool, str, str], _Tally] = defaultdict(_Tally)
    for vote in votes.to_pylist():
        method, opponent = _pair(vote)
        together[vote["simulated"], method, opponent].add(vote, method)
    rows: list[dict[str, object]] = []
    for key in sorted(together, key=lambda k: (k[0], _seniority(k[1]), _seniority(k[2]))):
        simulated, method, opponent = key
        tally = together[key]
        rows.append(
            {
                "method": method,
                "metric": "simulated_vote_win_rate" if simulated else "vote_win_rate",
                "baseline": opponent,
                "split": "all",
                **tally.rate(bootstrap),
                "cases": len(tally.won),
                "users": len(tally.people),
            }
        )
    adjust(rows, lambda row: row["metric"])
    return rows


@dataclass
class _Tally:
    """The votes of a pair of methods: `won`, and the person and prompt of each decided vote."""

    won: list[bool] = field(default_factory=list)
    voters: list[tuple[str, str]] = field(default_factory=list)
    shown: list[tuple[str, ...]] = field(default_factory=list)
    ties: int = 0
    flagged: int = 0
    people: set[tuple[str, str]] = field(default_factory=set)
    prompts: set[tuple[str, ...]] = field(default_factory=set)

    def add(self, vote: Mapping[str, Any], method: str) -> None:
        """Counts a vote; a pseudonym is a person of its study, a prompt the same in all."""
        if vote["flags"]:
            self.flagged += 1
            return
        person = (vote["study"], vote["participant"])
        # Without its prompt a vote is like those on the same pair of pictures only.
        prompt = (vote["prompt"],) if vote["prompt"] else (vote["study"], vote["pair"])
        self.people.add(person)
        self.prompts.add(prompt)
        if vote["choice"] == "tie":
            self.ties += 1
            return
        self.won.append(vote[f"{vote['choice']}_method"] == method)
        self.voters.append(person)
        self.shown.append(prompt)

    def rate(self, bootstrap: Bootstrap) -> dict[str, float | None]:
        """The win rate with its intervals and p-values; all None without a decided vote.

        The interval contains Wilson's and the p-value is at least the exact one: where a few people
        all vote alike no resample differs, and that is no certainty.
        """
        names = ("value", "low", "high", "p_value", "wilson_low", "wilson_high", "binomial_p")
        found: dict[str, float | None] = dict.fromkeys(names)
        if not self.won:
            return found
        wilson = wilson_interval(sum(self.won), len(self.won), bootstrap.confidence)
        exact = binomial_test(sum(self.won), len(self.won))
        found |= {"value": wilson.value, "binomial_p": exact}
        found |= {"wilson_low": wilson.low, "wilson_high": wilson.high}
        over = two_way_difference(
            [float(won) for won in self.won],
            _numbered(self.voters),
            _numbered(self.shown),
            bootstrap,
            against=_EVEN,
        )
        if over.low is None or over.high is None or over.p_value is None:
            return found
        assert wilson.low is not None and wilson.high is not None
        return found | {
            "low": max(0.0, min(over.low + _EVEN, wilson.low)),
            "high": min(1.0, max(over.high + _EVEN, wilson.high)),
            "p_value": max(over.p_value, exact),
        }


def _pair(vote: Mapping[str, Any]) -> tuple[str, str]:
    """The method and its opponent."""
    first, second = sorted((vote["left_method"], vote["right_method"]), key=_seniority)
    return first, second


def _numbered(groups: Sequence[tuple[str, ...]]) -> list[int]:
    """The groups by number, in the order of their names: that of the votes must not count."""
    number = {group: place for place, group in enumerate(sorted(set(groups)))}
    return [number[group] for group in groups]


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
