"""What the command line shows: a line for each artifact, a bar for the one in work, tables."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from zipp_dagster.platform.materialise import Outcome
    from zipp_dagster.platform.plan import Step

FILE_WIDTH = 160
"""Columns of a line that goes to a file or a pipe."""


def _console(stream: TextIO, *, stderr: bool) -> Console:
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else FILE_WIDTH)


out = _console(sys.stdout, stderr=False)
err = _console(sys.stderr, stderr=True)

MARKS = {
    "made": "[green]✓[/]",
    "unchanged": "[dim]=[/]",
    "skipped": "[yellow]–[/]",
    "rejected": "[red]✗[/]",
}


class RunConsole:
    """Watches a run: implements the platform's Observer."""

    def __init__(self, console: Console = err) -> None:
        self.console = console
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, note="", visible=False)
        self._started = time.monotonic()

    def __enter__(self) -> RunConsole:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def started(self, asset: str, partition: str | None) -> None:
        """Shows a fresh bar."""
        name = _name(asset, partition)
        self._bar.reset(self._task, total=None, description=name, note="", visible=True)

    def progressed(self, done: int, total: int, note: str = "") -> None:
        """Moves the bar."""
        self._bar.update(self._task, completed=done, total=total or None, note=note)

    def finished(self, outcome: Outcome) -> None:
        """Prints the artifact's line."""
        self._bar.update(self._task, visible=False)
        manifest = outcome.version.manifest
        size = f"{manifest.rows:,} rows" if manifest.rows is not None else human_size(manifest.size)
        text = f"{MARKS[outcome.status]} {_name(outcome.artifact.name, outcome.partition):42}"
        text += f" {outcome.seconds:7.1f} s  {size}"
        if manifest.skipped:
            text += f"  [yellow]skipped: {manifest.skipped}[/]"
        self.console.print(text)
        for report in outcome.checks:
            if not report.outcome.passed:
                colour = "red" if outcome.status == "rejected" and report.blocking else "yellow"
                self.console.print(f"    [{colour}]{report.name}: {report.outcome.description}[/]")

    def failed(self, asset: str, partition: str | None, error: BaseException) -> None:
        """Prints what went wrong, in one line."""
        self._bar.update(self._task, visible=False)
        self.console.print(f"[red]✗ {_name(asset, partition)}: {type(error).__name__}:[/] ", end="")
        self.console.print(str(error), markup=False)


def show_plan(steps: Sequence[Step], free: int, price: TokenPrice | None = None) -> None:
    """What would run, why, and roughly how long, on how much disk and at what cost.

    `free` is the disk's, in bytes; `price` that of the language model's tokens, None where it costs
    nothing.
    """
    table = Table(box=None, pad_edge=False)
    for column in ("asset", "state", "why", "about", "disk"):
        table.add_column(column)
    colours = {"fresh": "green", "stale": "yellow", "missing": "red"}
    todo = [step for step in steps if step.state != "fresh"]
    for step in todo:
        seconds = "" if step.seconds is None else f"{step.seconds:.1f} s"
        size = "" if step.size is None else human_size(step.size)
        state = f"[{colours[step.state]}]{step.state}[/]"
        table.add_row(step.name, state, step.reason, seconds, size)
    if todo:
        out.print(table)
    out.print(f"{len(todo)} of {len(steps)} would run{_estimate(todo, free, price)}")


def _estimate(todo: Sequence[Step], free: int, price: TokenPrice | None) -> str:
    """What the steps took when they ran last, in words."""
    if not todo:
        return ""
    seconds = sum(step.seconds or 0 for step in todo)
    size = sum(step.size or 0 for step in todo)
    known = f", about {seconds:.0f} s and {human_size(size)} of disk ({human_size(free)} free)"
    if price is not None:
        known += f", {price.estimate(todo)}"
    new = sum(step.seconds is None for step in todo)
    return known + (f"; {new} never ran here: not counted" if new else "")


@dataclass(frozen=True)
class TokenPrice:
    """What a million prompt and answer tokens of a language model cost."""

    model: str
    prompt: float
    answer: float

    def estimate(self, steps: Sequence[Step]) -> str:
        """What some steps cost when they ran last; cached answers cost less."""
        asked = sum(step.prompt_tokens or 0 for step in steps)
        told = sum(step.completion_tokens or 0 for step in steps)
        cost = (asked * self.prompt + told * self.answer) / 1e6
        return f"{asked + told:,} tokens of {self.model} ({cost:.2f} in the currency of the prices)"


def human_size(size: int) -> str:
    """Bytes for a person."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def _name(asset: str, partition: str | None) -> str:
    return asset if partition is None else f"{asset}\\[{partition}]"
