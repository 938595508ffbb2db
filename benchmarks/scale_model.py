"""What the whole paper would cost on 1, 8 and 64 machines: measured stages, stated assumptions.

What lives here: the assumptions and the arithmetic. What is measured comes from scale runs; what
needs a GPU is assumed, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from scale_stages import STAGES, Entry, Spread

Costs = Mapping[str, float]
Kind = Literal["fans out", "by months", "training", "serial"]

PAPER_USERS = 22_000_000
MACHINES = (1, 8, 64)


@dataclass(frozen=True)
class Assumptions:
    """Everything in the model that is not measured by a scale run."""

    cores: int = 16
    """Of one machine, each as fast as the measured ones; it also has one data-centre GPU."""
    efficiency: float = 0.7
    """Of a machine's cores when a stage fans out, after waiting for disk and the slowest item."""
    serial_cores: int = 2
    """That a stage uses which does not fan out: the threads with which it was measured."""
    dump_bytes: float = 21e12
    """Uncompressed, 2015–2022."""
    dump_events: float = 14.7e9
    """Comments and submissions in them; all are ingested and staged."""
    paper_events: float = 682e6
    """Those that the paper uses: everything after staging grows with them."""
    largest_month: float = 0.02
    """Share of the largest of 96 months: no number of machines takes less time than it."""
    epochs: int = 20
    """Of the encoder, over all users."""
    gpu_speedup: float = 50.0
    """Training steps a second on the GPU over one measured core. Assumed."""
    training_machines: int = 8
    """Beyond which data-parallel training gains nothing. Assumed."""
    images: int = 40_000
    """Of all methods together, and with them as many prompts: the paper's ZIPBench."""
    image_seconds: float = 4.0
    """SDXL, 1024², 30 steps, half precision, on the GPU. Assumed."""
    users: int = 1_500
    """Of the benchmark."""
    language_models: int = 14
    ablation_rewrites: int = 15_000
    """Of each language model: 7,500 held-out posts, without and with a persona."""
    persona_tokens: tuple[int, int] = (4_700, 600)
    """Read and written for a persona: the evidence budget of 4,096 and the rules."""
    rewrite_tokens: tuple[int, int] = (2_000, 80)
    """Read and written for a prompt."""
    tokens_a_second: tuple[float, float] = (8_000.0, 1_500.0)
    """Read and written by a model of 7 billion parameters on the GPU, batched. Assumed."""


@dataclass(frozen=True)
class Line:
    """One kind of work: hours of one machine, and how far more machines shorten it."""

    name: str
    hours: float
    kind: Kind
    source: str
    assumed: bool = False
    """Whether the hours rest on a rate that nobody measured here."""

    def on(self, machines: int, assumed: Assumptions) -> float:
        """Hours on so many machines."""
        if self.kind == "serial":
            return self.hours
        if self.kind == "training":
            return self.hours / min(machines, assumed.training_machines)
        least = assumed.largest_month * self.hours if self.kind == "by months" else 0.0
        return max(self.hours / machines, least)


@dataclass(frozen=True)
class Model:
    """The lines of the cost model; `missing` are stages that no run has finished."""

    lines: tuple[Line, ...]
    missing: tuple[str, ...]
    assumed: Assumptions
    tokens: tuple[float, float]
    machines: tuple[int, ...] = field(default=MACHINES)

    @property
    def complete(self) -> bool:
        """Whether every stage was measured."""
        return not self.missing

    def hours(self, machines: int, *, assumed: bool | None = None) -> float:
        """Wall hours of everything, or of what is (not) assumed, one stage after the other."""
        lines = [line for line in self.lines if assumed in (None, line.assumed)]
        return sum(line.on(machines, self.assumed) for line in lines)

    def markdown(self) -> str:
        """The table and the assumptions."""
        head = " | ".join(f"{n} machine{'s' * (n > 1)}" for n in self.machines)
        rows = [
            f"**The whole paper, in hours ({PAPER_USERS:,} users)**",
            "",
            f"| work | on more machines | {head} | from |",
            "|---|---|" + "--:|" * len(self.machines) + "---|",
        ]
        for line in self.lines:
            cells = " | ".join(_shown(line.on(n, self.assumed)) for n in self.machines)
            rows.append(f"| {line.name} | {line.kind} | {cells} | {line.source} |")
        for name, part in (("measured, scaled to these machines", False), ("assumed", True)):
            cells = " | ".join(f"{self.hours(n, assumed=part):,.1f}" for n in self.machines)
            rows.append(f"| *of the wall hours: {name}* | | {cells} | |")
        walls = " | ".join(f"**{self.hours(n):,.1f}**" for n in self.machines)
        rows.append(f"| **wall hours** | | {walls} | |")
        paid = " | ".join(f"{n * self.hours(n):,.0f}" for n in self.machines)
        rows.append(f"| machine-hours, idle ones paid | | {paid} | |")
        a, (read, wrote) = self.assumed, self.tokens
        rows += [
            "",
            f"Assumptions: a machine has {a.cores} cores like the measured ones and one GPU; fanned out, "
            f"{a.efficiency:.0%} of the cores are busy, a serial stage has {a.serial_cores}. All "
            f"{a.dump_events / 1e9:g} G records of {a.dump_bytes / 1e12:g} TB are ingested and staged, "
            f"{a.paper_events / 1e6:g} M are used after that. The largest month is "
            f"{a.largest_month:.0%} of all. Training: {a.epochs} epochs of everybody, a GPU is "
            f"{a.gpu_speedup:g} cores, more than {a.training_machines} machines gain nothing. Images: "
            f"{a.images:,} of all methods together at {a.image_seconds:g} s. Language: {read / 1e6:,.0f} M "
            f"tokens read, {wrote / 1e6:,.0f} M written ({a.users:,} personas and "
            f"{a.ablation_rewrites:,} prompts by each of {a.language_models} models, "
            f"{a.images:,} prompts for images) at {a.tokens_a_second[0]:,.0f} and "
            f"{a.tokens_a_second[1]:,.0f} a second. What says assumed was not measured. Where a "
            "stage grew faster than its users, it is extrapolated with its exponent.",
        ]
        if self.missing:
            rows += ["", f"Not in it, because no run has finished them: {', '.join(self.missing)}."]
        return "\n".join(rows)


def _shown(hours: float) -> str:
    """Hundredths of an hour; what is less is said to be less, not nothing."""
    return f"{hours:,.2f}" if hours >= 0.005 else "< 0.01"


def cost_model(
    runs: Mapping[Entry, tuple[int, Mapping[str, Costs]]],
    exponents: Mapping[str, float],
    assumed: Assumptions | None = None,
) -> Model:
    """The paper's cost from the largest run of each entry: users and costs by stage."""
    a = assumed or Assumptions()
    at_paper: dict[str, float] = {}
    where: dict[str, str] = {}
    for entry in ("dumps", "events"):
        users, costs = runs.get(entry, (0, {}))
        for name, cost in costs.items():
            factor = (PAPER_USERS / users) ** max(1.0, exponents.get(name, 1.0))
            at_paper[name] = cost["cpu_s"] * (1.0 if name == "training" else factor)
            where[name] = f"{users:,} users"
    spread: dict[str, Spread] = {stage.name: stage.spread for stage in STAGES}
    lines, missing = [], []
    kinds: dict[Spread, Kind] = {"months": "by months", "users": "fans out", "serial": "serial"}
    for stage in STAGES:
        name = stage.name
        if spread[name] == "synthetic" or name == "training":
            continue
        if name not in at_paper:
            missing.append(name)
            continue
        seconds = at_paper[name]
        if name == "ingest":
            size = runs["dumps"][1][name]["output_json_bytes"] * PAPER_USERS / runs["dumps"][0]
            seconds *= a.dump_bytes / size
        elif name == "staging":
            seconds *= a.dump_events / a.paper_events
        cores = a.serial_cores if spread[name] == "serial" else a.cores * a.efficiency
        lines.append(Line(name, seconds / cores / 3600, kinds[spread[name]], where[name]))
    lines += _gpu_lines(runs, a, missing)
    read, wrote = _tokens(a)
    return Model(tuple(lines), tuple(missing), a, (read, wrote))


def _gpu_lines(
    runs: Mapping[Entry, tuple[int, Mapping[str, Costs]]], a: Assumptions, missing: list[str]
) -> list[Line]:
    lines = []
    cost = runs["events"][1].get("training") if "events" in runs else None
    if cost is None:
        missing.append("training")
    else:
        targets = cost["output_target_edges"] / cost["output_users_read"] * PAPER_USERS * a.epochs
        seconds = targets / cost["output_target_edges_per_cpu_s"] / a.gpu_speedup
        lines.append(
            Line(
                "training, full", seconds / 3600, "training", "CPU rate measured, GPU assumed", True
            )
        )
    images = a.images * a.image_seconds / 3600
    lines.append(Line("images", images, "fans out", "assumed", True))
    read, wrote = _tokens(a)
    seconds = read / a.tokens_a_second[0] + wrote / a.tokens_a_second[1]
    lines.append(Line("language models", seconds / 3600, "fans out", "assumed", True))
    return lines


def _tokens(a: Assumptions) -> tuple[float, float]:
    """Tokens read and written in all."""
    personas = a.users * a.language_models
    rewrites = a.ablation_rewrites * a.language_models + a.images
    read, wrote = (personas * a.persona_tokens[i] + rewrites * a.rewrite_tokens[i] for i in (0, 1))
    return read, wrote
