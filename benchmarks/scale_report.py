"""Tables and figures from the state files of scale runs: costs by stage, growth, what the paper costs.

What lives here: sums over months, growth exponents, the tables of `docs/scaling.md`. What does not:
the cost model's assumptions (`scale_model`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scale_model import PAPER_USERS, cost_model
from scale_stages import STAGES, Entry, Plan, stages_of

State = dict[str, Any]
Costs = dict[str, float]
# Below this, what does not grow (opening files, compiling a query) is most of a stage.
LEAST_CPU_S = 2.0
SUMMED = ("wall_s", "cpu_s", "read_gb", "written_gb")
LARGEST = ("peak_rss_gib", "anonymous_gib", "disk_peak_gb")


def costs_of(state: State) -> dict[str, Costs]:
    """Costs of each finished stage: sums over its months, and the largest peak of one."""
    plan = Plan(**state["plan"])
    found: dict[str, Costs] = {}
    for stage in stages_of(plan.entry):
        names = [f"{stage.name}@{m}" for m in plan.month_names] if stage.monthly else [stage.name]
        units = [state["units"][name] for name in names if name in state["units"]]
        if len(units) < len(names):
            continue
        found[stage.name] = {key: sum(unit[key] for unit in units) for key in SUMMED}
        found[stage.name] |= {key: max(unit[key] for unit in units) for key in LARGEST}
        found[stage.name]["attempts"] = max(state["attempts"].get(name, 1) for name in names)
        found[stage.name] |= {
            f"output_{key}": sum(unit["outputs"].get(key, 0) for unit in units)
            for key in units[0]["outputs"]
            if isinstance(units[0]["outputs"][key], int | float)
        }
    return found


def growth(states: Sequence[State]) -> dict[str, tuple[float, int]]:
    """For each stage the exponent e of CPU seconds ~ users^e by least squares, and of how many sizes.

    Sizes at which the stage takes under two CPU seconds are left out, and stages without two sizes.
    """
    points: dict[str, dict[int, float]] = {}
    for state in states:
        for name, cost in costs_of(state).items():
            if cost["cpu_s"] >= LEAST_CPU_S:
                points.setdefault(name, {})[state["plan"]["users"]] = cost["cpu_s"]
    found = {}
    for name, sizes in points.items():
        if len(sizes) >= 2:
            slope = np.polyfit(np.log(list(sizes)), np.log(list(sizes.values())), 1)[0]
            found[name] = (float(slope), len(sizes))
    return found


def document(states: Sequence[State], machine: dict[str, Any]) -> dict[str, Any]:
    """The benchmark's JSON: costs of the first state, growth over all, the paper's cost."""
    first, rows = states[0], []
    costs = costs_of(first)
    for name, cost in costs.items():
        for key, unit in (("cpu_s", "s"), ("wall_s", "s"), ("peak_rss_gib", "GiB")):
            rows.append(_row(f"{name}_{key}", cost[key], unit))
    for name, (exponent, _) in growth(states).items():
        rows.append(_row(f"{name}_growth", exponent, "exponent", "<= 1.2"))
    if costs:
        for key, unit, target in (
            ("peak_rss_gib", "GiB", "<= 12"),
            ("anonymous_gib", "GiB", None),
            ("disk_peak_gb", "GB", "<= 40"),
        ):
            rows.append(_row(key, max(cost[key] for cost in costs.values()), unit, target))
        product = [cost for name, cost in costs.items() if _spread(name) != "synthetic"]
        rows.append(_row("cpu_s", sum(cost["cpu_s"] for cost in product), "s"))
    model = cost_model(_by_entry(states), {n: e for n, (e, _) in growth(states).items()})
    for count in model.machines:
        if model.complete:
            rows.append(_row(f"paper_hours_{count}_machines", model.hours(count), "h"))
    return {
        "benchmark": "scale",
        "machine": machine | {key: first["plan"][key] for key in ("users", "entry", "months")},
        "results": rows,
        "stages": costs,
        "outputs": {name: unit["outputs"] for name, unit in first["units"].items()},
    }


def markdown(states: Sequence[State]) -> str:
    """A table of stages a state, one of growth, and the cost model with its assumptions."""
    ordered = sorted(states, key=lambda state: (state["plan"]["entry"], -state["plan"]["users"]))
    exponents = growth(states)
    parts = [_stage_table(state, exponents) for state in ordered]
    parts.append(_growth_table(ordered))
    model = cost_model(_by_entry(states), {n: e for n, (e, _) in exponents.items()})
    parts.append(model.markdown())
    return "\n\n".join(parts)


def _by_entry(states: Sequence[State]) -> dict[Entry, tuple[int, dict[str, Costs]]]:
    """Users and costs of the largest run of each entry."""
    largest: dict[Entry, State] = {}
    for state in sorted(states, key=lambda state: state["plan"]["users"]):
        largest[state["plan"]["entry"]] = state
    return {entry: (s["plan"]["users"], costs_of(s)) for entry, s in largest.items()}


def _spread(name: str) -> str:
    return next(stage.spread for stage in STAGES if stage.name == name)


def _stage_table(state: State, exponents: dict[str, tuple[float, int]]) -> str:
    plan = Plan(**state["plan"])
    lines = [
        f"**{plan.users:,} users, {plan.events:,} {plan.entry}"
        f"{' as dump lines' if plan.entry == 'dumps' else ''}, {plan.months} months** "
        f"({state['machine']['cpus']} cores, {state['machine']['processor']})",
        "",
        "| stage | CPU-s | wall s | peak RSS GiB | of it anonymous | read GB | written GB | disk GB "
        "| growth | made |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    costs = costs_of(state)
    for name, cost in costs.items():
        exponent = f"{exponents[name][0]:.2f}" if name in exponents else "–"
        shown = f"{name} (generated)" if _spread(name) == "synthetic" else name
        again = f", in {cost['attempts']:.0f} attempts" if cost["attempts"] > 1 else ""
        lines.append(
            f"| {shown} | {cost['cpu_s']:,.0f} | {cost['wall_s']:,.0f} | {cost['peak_rss_gib']:.2f} "
            f"| {cost['anonymous_gib']:.2f} | {cost['read_gb']:.1f} | {cost['written_gb']:.1f} "
            f"| {cost['disk_peak_gb']:.1f} | {exponent} | {_made(cost)}{again} |"
        )
    product = [cost for name, cost in costs.items() if _spread(name) != "synthetic"]
    if product:
        lines.append(
            f"| **all but generated** | **{sum(c['cpu_s'] for c in product):,.0f}** "
            f"| **{sum(c['wall_s'] for c in product):,.0f}** "
            f"| **{max(c['peak_rss_gib'] for c in product):.2f}** "
            f"| **{max(c['anonymous_gib'] for c in product):.2f}** "
            f"| {sum(c['read_gb'] for c in product):.1f} "
            f"| {sum(c['written_gb'] for c in product):.1f} "
            f"| **{max(c['disk_peak_gb'] for c in costs.values()):.1f}** | | |"
        )
    missing = [stage.name for stage in stages_of(plan.entry) if stage.name not in costs]
    if missing:
        lines += ["", f"Not run yet: {', '.join(missing)}."]
    return "\n".join(lines)


def _made(cost: Costs) -> str:
    """The two outputs of a stage that say most, in words."""
    keys = [key for key in cost if key.startswith("output_") and cost[key]]
    chosen = keys[:1] + keys[-1:] if len(keys) > 1 else keys
    words = [f"{cost[key]:,.4g}" if cost[key] < 1 else f"{cost[key]:,.0f}" for key in chosen]
    names = [key.removeprefix("output_").replace("_", " ") for key in chosen]
    return ", ".join(f"{word} {name}" for word, name in zip(words, names, strict=True))


def _growth_table(states: Sequence[State]) -> str:
    sizes = sorted({state["plan"]["users"] for state in states})
    exponents = growth(states)
    lines = [
        "**CPU seconds by users, and the exponent of their growth**",
        "",
        f"| stage | {' | '.join(f'{size:,}' for size in sizes)} | exponent |",
        "|---|" + "--:|" * (len(sizes) + 1),
    ]
    by_size = {state["plan"]["users"]: costs_of(state) for state in states}
    # Of two entries at one size, stages after staging are the same work: events are shown.
    by_size |= {s["plan"]["users"]: costs_of(s) for s in states if s["plan"]["entry"] == "events"}
    dumps = {s["plan"]["users"]: costs_of(s) for s in states if s["plan"]["entry"] == "dumps"}
    for stage in STAGES:
        source = dumps if stage.entry == "dumps" else by_size
        cells = [
            f"{source[size][stage.name]['cpu_s']:,.1f}"
            if stage.name in source.get(size, {})
            else "–"
            for size in sizes
        ]
        if set(cells) != {"–"}:
            exponent = f"{exponents[stage.name][0]:.2f}" if stage.name in exponents else "–"
            lines.append(f"| {stage.name} | {' | '.join(cells)} | {exponent} |")
    return "\n".join(lines)


def _row(name: str, value: float, unit: str, target: str | None = None) -> dict[str, Any]:
    return {"name": name, "value": round(float(value), 3), "unit": unit, "target": target}


__all__ = ["PAPER_USERS", "costs_of", "document", "growth", "markdown"]
