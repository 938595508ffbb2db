"""Runs an artifact's checks on a draft: its contract, then its own checks; before publication."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zipp_dagster.platform import expectations
from zipp_dagster.platform.artifacts import Artifact, CheckOutcome, Inputs
from zipp_dagster.platform.catalogue import Platform
from zipp_dagster.platform.lake import Draft


@dataclass(frozen=True)
class CheckReport:
    """A check that was run on a draft."""

    name: str
    blocking: bool
    outcome: CheckOutcome

    def to_json(self) -> dict[str, Any]:
        """The report as an entry of the manifest."""
        return {
            "name": self.name,
            "blocking": self.blocking,
            "passed": self.outcome.passed,
            "severity": self.outcome.severity,
            "description": self.outcome.description,
            "metadata": dict(self.outcome.metadata),
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> CheckReport:
        """The inverse of `to_json`."""
        outcome = CheckOutcome(
            entry["passed"], entry["description"], entry["metadata"], entry["severity"]
        )
        return cls(entry["name"], entry["blocking"], outcome)


def run_checks(
    artifact: Artifact, inputs: Inputs, draft: Draft, platform: Platform, skipped: str | None
) -> tuple[CheckReport, ...]:
    """All checks of an artifact, the contract's first; `skipped` says why there is nothing to check."""
    reports = []
    if artifact.contract is not None:
        outcome = _nothing(skipped) or _check_contract(artifact, inputs, draft, platform)
        reports.append(CheckReport("contract", True, outcome))
    for entry in artifact.checks:
        outcome = _nothing(skipped) or entry.run(draft, inputs, platform)
        reports.append(CheckReport(entry.name, entry.blocking, outcome))
    return tuple(reports)


def _nothing(skipped: str | None) -> CheckOutcome | None:
    return CheckOutcome(True, f"nothing to check: {skipped}") if skipped else None


def _check_contract(
    artifact: Artifact, inputs: Inputs, draft: Draft, platform: Platform
) -> CheckOutcome:
    """The table's Great Expectations suite; its page goes to the Data Docs folder.

    A page is of the last draft that was checked, a rejected one included. Its web address works
    while `zipp ui` runs, the file's always.
    """
    assert artifact.contract is not None
    related = {name: entry.files() for name, entry in inputs.items()}
    result = expectations.validate(artifact.contract, draft.files(), related, platform.warehouse)
    name = artifact.name if draft.partition is None else f"{artifact.name}-{draft.partition}"
    page = platform.reports / "data_docs" / f"{name}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(result.html)
    return CheckOutcome(
        result.passed,
        result.summary(),
        {
            "tests": len(result.results),
            "failed": sum(not r.passed for r in result.results),
            "data_docs": page.as_uri(),
            "data_docs_page": platform.report_url(page),
        },
        "error" if result.blocking_failures else "warn",
    )
