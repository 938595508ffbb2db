"""Checks of the monthly tables that hold a dump: what must not pass, and what somebody should look at.

A check that fails as an error keeps the month from becoming current: wrong data would poison all
that follows. Limits are settings of the `warehouse` section. Results carry counts, never text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from assets import sources
from zipp_dagster.platform.artifacts import CheckOutcome, Inputs, check
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.contracts import scan
from zipp_dagster.platform.lake import Draft
from zipp_dagster.platform.versions import Version

NULL_SHARE_DRIFT = 0.1
"""A column whose share of nulls moved by more than this has another meaning than before."""


@check("files_readable")
def files_readable(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Each dump file decompresses and its first block holds a line."""
    from zipp_dagster.reddit.dumps import DumpError
    from zipp_dagster.reddit.lines import read_blocks

    problems = []
    files = json.loads(draft.path("inventory.json").read_text())
    for entry in files:
        try:
            next(read_blocks(Path(entry["path"])))
        except (DumpError, StopIteration) as error:
            problems.append(f"{Path(entry['path']).name}: {error or 'no line in it'}")
    return CheckOutcome(not problems, "; ".join(problems) or f"{len(files)} files open and inflate")


@check("both_kinds_present", blocking=False)
def both_kinds_present(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """The month has a dump of comments and one of submissions, and no second one of a kind."""
    kinds = [entry["kind"] for entry in json.loads(draft.path("inventory.json").read_text())]
    found = {kind: kinds.count(kind) for kind in ("comments", "submissions")}
    return CheckOutcome(
        all(count == 1 for count in found.values()),
        ", ".join(f"{count} dumps of {kind}" for kind, count in found.items()),
        found,
        severity="warn",
    )


@check("lines_accounted_for")
def lines_accounted_for(draft: Draft, inputs: Inputs, platform: Platform) -> CheckOutcome:
    """Every line of the dump was kept, deleted, erased, a duplicate or rejected; few are rejected."""
    report = _report(draft.directory)
    parts = ("kept", "deleted", "erased", "duplicates", "rejected")
    total = sum(report[part] for part in parts)
    share = report["rejected"] / max(report["lines"], 1)
    most = platform.settings.warehouse.most_rejected
    conserved = total == report["lines"]
    description = f"{report['lines']} lines = " + " + ".join(f"{report[p]} {p}" for p in parts)
    if share > most:
        description += f"; {share:.1%} rejected, at most {most:.0%} are allowed"
    return CheckOutcome(conserved and share <= most, description, {"rejected_share": share})


@check("few_duplicates", blocking=False)
def few_duplicates(draft: Draft, inputs: Inputs, platform: Platform) -> CheckOutcome:
    """The share of lines that repeat a record of the same dump is small."""
    report = _report(draft.directory)
    share = report["duplicates"] / max(report["lines"], 1)
    return CheckOutcome(
        share <= platform.settings.warehouse.most_duplicates,
        f"{report['duplicates']} of {report['lines']} lines are duplicates",
        {"duplicate_share": share},
        severity="warn",
    )


@check("written_in_the_month")
def written_in_the_month(draft: Draft, inputs: Inputs, platform: Platform) -> CheckOutcome:
    """Records were written in the month of their dump; the few others are not staged."""
    with platform.warehouse.connect() as connection:
        rows, outside = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE created_at < start OR created_at >= start + INTERVAL 1 "
            f"MONTH) FROM {scan(draft.files())}, (SELECT CAST(? AS TIMESTAMP) AS start)",
            [f"{draft.partition}-01"],
        ).fetchone()
    share = outside / max(rows, 1)
    poisonous = share > platform.settings.warehouse.most_outside_month
    return CheckOutcome(
        outside == 0,
        f"{outside} of {rows} records were written in another month than {draft.partition}"
        + (": is the file under the right name?" if poisonous else ""),
        {"outside": outside, "outside_share": share},
        severity="error" if poisonous else "warn",
    )


@check("volume_like_before")
def volume_like_before(draft: Draft, inputs: Inputs, platform: Platform) -> CheckOutcome:
    """The month has rows, and about as many as the months before it."""
    limits = platform.settings.warehouse
    rows = _rows(draft.files())
    before = [version.manifest.rows or 0 for version in _months_before(draft, platform)]
    if rows == 0:
        return CheckOutcome(False, "not one record was kept", {"rows": 0})
    if not before:
        return CheckOutcome(True, f"{rows} rows; no earlier month to compare with", {"rows": rows})
    usual = median(before)
    ratio = rows / max(usual, 1)
    return CheckOutcome(
        limits.least_volume <= ratio <= limits.most_volume,
        f"{rows} rows are {ratio:.2f} times the median of {len(before)} earlier months ({usual:.0f})",
        {"rows": rows, "median_before": usual, "ratio": ratio},
        severity="warn",
    )


@check("nulls_like_before", blocking=False)
def nulls_like_before(draft: Draft, inputs: Inputs, platform: Platform) -> CheckOutcome:
    """No column has many more or many fewer nulls than in the months before it."""
    now = null_shares(draft.files())
    before = [null_shares(version.files()) for version in _months_before(draft, platform)]
    drifted = {}
    for column, share in now.items():
        usual = [month[column] for month in before if column in month]
        if usual and abs(share - median(usual)) > NULL_SHARE_DRIFT:
            drifted[column] = f"{share:.0%} null, {median(usual):.0%} before"
    return CheckOutcome(
        not drifted,
        "; ".join(f"{column}: {words}" for column, words in drifted.items())
        or f"{len(now)} columns as in {len(before)} earlier months",
        {"null_shares": {column: round(share, 4) for column, share in now.items()}},
        severity="warn",
    )


@check("rejections_complete")
def rejections_complete(draft: Draft, inputs: Inputs) -> CheckOutcome:
    """Every line that the month's dumps had rejected is in the table, and nothing else."""
    counted = sum(
        _report(version.directory)["rejected"]
        for entry in inputs.values()
        for version in entry.versions
        if not version.skipped
    )
    rows = _rows(draft.files())
    return CheckOutcome(
        rows == counted, f"{rows} lines are listed, {counted} were rejected", {"rows": rows}
    )


DUMP_CHECKS = (files_readable, both_kinds_present)
TABLE_CHECKS = (
    lines_accounted_for,
    few_duplicates,
    written_in_the_month,
    volume_like_before,
    nulls_like_before,
)


def null_shares(files: Sequence[Path]) -> dict[str, float]:
    """Column → share of nulls, from the statistics in the files' footers."""
    import pyarrow.parquet as parquet

    nulls: dict[str, int] = {}
    rows = 0
    for path in files:
        metadata = parquet.read_metadata(path)
        rows += metadata.num_rows
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            for index in range(group.num_columns):
                column = group.column(index)
                found = column.statistics.null_count if column.statistics else None
                if found is not None:
                    nulls[column.path_in_schema] = nulls.get(column.path_in_schema, 0) + found
    return {column: count / rows for column, count in nulls.items()} if rows else {}


def _rows(files: Sequence[Path]) -> int:
    import pyarrow.parquet as parquet

    return sum(parquet.read_metadata(path).num_rows for path in files)


def _report(directory: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((directory / "report.json").read_text())
    return report


def _months_before(draft: Draft, platform: Platform) -> list[Version]:
    """The current versions of the last earlier months of the same source."""
    months = [m for m in sources.active_months(platform) if m < (draft.partition or "")]
    found = (platform.lake.find(draft.asset, month) for month in reversed(months))
    made = [version for version in found if version is not None and not version.skipped]
    return made[: platform.settings.warehouse.volume_months]
