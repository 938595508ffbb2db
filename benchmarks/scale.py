"""A Reddit of N users from events or dump files to personas, stage by stage, each stage measured.

    python benchmarks/scale.py --users 1000000 --home DIR [--dumps] [--until STAGE] [--json]
    python benchmarks/scale.py --markdown --home DIR [DIR ...]

Every stage runs the product's own functions in a process of its own; seconds, memory and bytes of
finished ones are in DIR/scale.json. The same command goes on where it was interrupted. What no later
stage reads is deleted. Growth exponents and the cost model of the paper's scale are made from the
state files of several sizes (`--compare DIR`, and all homes of `--markdown`). Asserts nothing.
"""

from __future__ import annotations

import argparse
import fcntl
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from costs import PeakMemory, bytes_on_disk, disk_io, peak_rss
from sample_home import PREFIX, machine
from scale_report import document, markdown
from scale_stages import STAGES, Plan, Run, stages_of

STATE, RESULT, LOCK = "scale.json", "result.json", "lock"
SETTINGS: dict[str, object] = {
    # Two cores, and what one stage may take of a machine with 16 GiB.
    "warehouse.memory_limit": "4GB",
    "warehouse.threads": 2,
    # The width of the measured figures in docs/encoder.md; the paper's profile has 128 for a GPU.
    "encoder.hidden": 64,
    "encoder.precision": "fp32",
    "encoder.device": "cpu",
    "encoder.threads": 1,
    "encoder.inference_lanes": 2,
    "persona.language_model.kind": "lexical",
}


@dataclass
class State:
    """What has been run in a folder, kept in a file of it."""

    home: Path
    plan: Plan
    settings: dict[str, Any]
    machine: dict[str, Any]
    units: dict[str, dict[str, Any]] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)

    @classmethod
    def open(cls, home: Path, plan: Plan, settings: dict[str, Any]) -> State:
        """The state of a folder, or a fresh one.

        Raises:
            SystemExit: the folder holds another run.
        """
        path = home / STATE
        if not path.exists():
            return cls(home, plan, settings, machine())
        held = json.loads(path.read_text())
        for name, wanted in (("plan", asdict(plan)), ("settings", settings)):
            if held[name] != wanted:
                different = {
                    key: (held[name].get(key), wanted.get(key))
                    for key in held[name].keys() | wanted.keys()
                    if held[name].get(key) != wanted.get(key)
                }
                raise SystemExit(
                    f"{path} is of another run, {name} (there, wanted): {different}. Give the same "
                    "options as before, or another --home."
                )
        return cls(home, plan, settings, held["machine"], held["units"], held["attempts"])

    def save(self) -> None:
        """Writes the file, whole or not at all."""
        values = {
            "plan": asdict(self.plan),
            "settings": self.settings,
            "machine": self.machine,
            "units": self.units,
            "attempts": self.attempts,
        }
        partial = self.home / f"{STATE}.partial"
        partial.write_text(json.dumps(values, indent=1) + "\n")
        partial.replace(self.home / STATE)


def run_all(state: State, until: str | None) -> None:
    """Runs what is not done yet, up to the stage `until` or the last one."""
    months = state.plan.month_names
    monthly = [stage for stage in stages_of(state.plan.entry) if stage.monthly]
    # All monthly stages of a month before the next month: its events are then deleted.
    order = [(stage, month) for month in months for stage in monthly]
    order += [(stage, None) for stage in stages_of(state.plan.entry) if not stage.monthly]
    last = [stage.name for stage in stages_of(state.plan.entry)]
    wanted = last[: last.index(until) + 1] if until else last
    for stage, month in order:
        if stage.name not in wanted:
            continue
        name = f"{stage.name}@{month}" if month else stage.name
        if name not in state.units:
            state.attempts[name] = state.attempts.get(name, 0) + 1
            state.save()
            state.units[name] = _measured(state, name)
            state.save()
            _say(name, state.units[name])
        for pattern in stage.frees:
            shutil.rmtree(state.home / pattern.format(month=month), ignore_errors=True)


def _measured(state: State, name: str) -> dict[str, Any]:
    """Runs one unit in a process of its own, and watches its memory and the folder's size."""
    command = [sys.executable, __file__, "--home", str(state.home), "--unit", name]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
    for key, value in state.settings.items():
        environment[PREFIX + key.upper().replace(".", "__")] = str(value)
    result = state.home / RESULT
    result.unlink(missing_ok=True)
    largest = 0
    with subprocess.Popen(command, env=environment) as process:
        try:
            with PeakMemory(process.pid, 0.1) as memory:
                while process.poll() is None:
                    largest = max(largest, bytes_on_disk(state.home))
                    _wait(process)
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        raise SystemExit(
            f"{name} ended with code {process.returncode}; the same command goes on from it."
        )
    after = bytes_on_disk(state.home)
    return json.loads(result.read_text()) | {
        "anonymous_gib": round(memory.anonymous / 2**30, 3),
        "disk_peak_gb": round(max(largest, after) / 1e9, 6),
        "disk_gb": round(after / 1e9, 6),
        "load": round(os.getloadavg()[0], 2),
    }


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        return


def run_unit(home: Path, name: str) -> None:
    """In the unit's own process: does the work, and writes what it cost.

    Raises:
        SystemExit: another process works in this folder.
    """
    with (home / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"another run works in {home}: wait for it, or end it") from None
        cost = _cost(home, name)
    (home / RESULT).write_text(json.dumps(cost))


def _cost(home: Path, name: str) -> dict[str, Any]:
    held = json.loads((home / STATE).read_text())
    run = Run(Plan(**held["plan"]), home)
    stage_name, _, month = name.partition("@")
    stage = next(stage for stage in STAGES if stage.name == stage_name)
    for module in stage.modules:
        importlib.import_module(module)
    if stage.sql:
        run.chain.models  # noqa: B018  (parsed now, not within the first measured second)
    wall, cpu, (read, wrote) = time.perf_counter(), time.process_time(), disk_io()
    outputs = stage.work(run, month or None)
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    read_now, wrote_now = disk_io()
    return {
        "wall_s": round(seconds, 2),
        "cpu_s": round(cpu_seconds, 2),
        "peak_rss_gib": round(peak_rss() / 2**30, 3),
        "read_gb": round((read_now - read) / 1e9, 3),
        "written_gb": round((wrote_now - wrote) / 1e9, 3),
        "outputs": outputs,
    }


def _say(name: str, cost: dict[str, Any]) -> None:
    print(
        f"{name}: {cost['wall_s']:.0f} s, {cost['cpu_s']:.0f} CPU-s, {cost['peak_rss_gib']:.2f} GiB, "
        f"{cost['disk_gb']:.1f} GB on disk",
        file=sys.stderr,
        flush=True,
    )


def _states(homes: list[Path]) -> list[dict[str, Any]]:
    return [json.loads((home / STATE).read_text()) for home in homes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--users", type=int, default=10_000, help="about 31 events each")
    entry = parser.add_mutually_exclusive_group()
    entry.add_argument("--events", action="store_true", help="begin at events (the default)")
    entry.add_argument("--dumps", action="store_true", help="begin at dump files")
    parser.add_argument("--months", type=int, default=12)
    parser.add_argument("--training-steps", type=int, default=1_000)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings")
    parser.add_argument("--until", choices=[stage.name for stage in STAGES], help="the last stage")
    parser.add_argument("--home", type=Path, nargs="+", help="folder(s) of runs; temporary if none")
    parser.add_argument("--compare", type=Path, nargs="*", default=[], help="homes of other sizes")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--markdown", action="store_true", help="print tables; runs nothing")
    parser.add_argument("--unit", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.unit:
        run_unit(options.home[0], options.unit)
        return
    if options.markdown:
        if not options.home:
            parser.error("--markdown needs the --home of finished stages")
        print(markdown(_states(options.home)))
        return
    if options.home and len(options.home) > 1:
        parser.error("one --home to run in; several are for --markdown")
    plan = Plan(
        options.users, "dumps" if options.dumps else "events", options.months,
        options.training_steps,
    )  # fmt: skip
    if wrong := [pair for pair in options.set if "=" not in pair]:
        parser.error(f"--set {wrong[0]}: write KEY=VALUE, such as warehouse.memory_limit=8GB")
    settings = SETTINGS | dict(pair.split("=", 1) for pair in options.set)
    stages = [stage.name for stage in stages_of(plan.entry)]
    if options.until and options.until not in stages:
        parser.error(f"--until {options.until}: with these options the stages are {stages}")
    # Else a terminated run would leave its unit running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="zipp-scale-") as temporary:
        home = options.home[0] if options.home else Path(temporary)
        home.mkdir(parents=True, exist_ok=True)
        run_all(State.open(home, plan, settings), options.until)
        result = document(_states([home, *options.compare]), machine())
    if options.json:
        print(json.dumps(result, indent=1))
        return
    for row in result["results"]:
        print(f"{row['name']:40} {row['value']:>14,} {row['unit']:8} {row['target'] or ''}")


if __name__ == "__main__":
    main()
