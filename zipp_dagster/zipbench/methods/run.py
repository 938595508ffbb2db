"""Runs the prompt steps of the registered methods, and measures what each of them costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

from zipp_dagster.progress import Progress, silent
from zipp_dagster.zipbench.methods.base import FEWEST_PICTURES, PromptContext
from zipp_dagster.zipbench.registry import BASELINE, METHODS


@dataclass(frozen=True)
class PromptCost:
    """What a method's prompts cost: wall seconds, and what the language model counted."""

    method: str
    prompts: int
    seconds: float
    calls: int
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class PromptReport:
    """Rows a method, costs, flags raised, and why registered methods did not run."""

    by_method: dict[str, int]
    costs: tuple[PromptCost, ...]
    flags: dict[str, int]
    not_run: dict[str, str]

    def metadata(self) -> dict[str, object]:
        """As plain values."""
        return asdict(self) | {"costs": [asdict(cost) for cost in self.costs]}


def chosen_methods(wanted: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
    """The methods to run, in the registry's order, and why the others are not run.

    Empty `wanted` means all that can run. ValueError for an unknown name, for a wanted method that
    cannot run, and where the baseline of all comparisons is left out.
    """
    unknown = sorted(set(wanted) - set(METHODS))
    if unknown:
        raise ValueError(
            f"no method is called {unknown[0]!r} (setting methods.run); there are {list(METHODS)}"
        )
    if wanted and BASELINE not in wanted:
        raise ValueError(f"methods.run leaves out {BASELINE}, which all others are compared with")
    run, left_out = [], {}
    for name, method in METHODS.items():
        reason = method.unavailable()
        if wanted and name not in wanted:
            left_out[name] = "left out by the setting methods.run"
        elif reason and name in wanted:
            raise ValueError(f"the method {name} (setting methods.run) cannot run: {reason}")
        elif reason:
            left_out[name] = reason
        else:
            run.append(name)
    return run, left_out


def write_prompts(
    context: PromptContext, wanted: Sequence[str] = (), progress: Progress = silent
) -> tuple[pa.Table, PromptReport]:
    """The rewritten_prompts table of all chosen methods, ordered by case and method.

    ValueError as in `chosen_methods`, and for a step that gives a case two prompts or an unknown
    case.
    """
    methods, left_out = chosen_methods(wanted)
    known = set(context.cases["case_id"].to_pylist())
    tables, costs = [], []
    for place, name in enumerate(methods):
        usage, started = context.model.usage, time.perf_counter()
        before = (usage.calls, usage.prompt_tokens, usage.completion_tokens)
        table = METHODS[name].prompts.write(name, context)
        after = context.model.usage
        ids = table["case_id"].to_pylist()
        if len(set(ids)) < len(ids) or not known.issuperset(ids):
            raise ValueError(f"the method {name} gave a case two prompts, or one to no case")
        costs.append(
            PromptCost(
                name,
                table.num_rows,
                time.perf_counter() - started,
                after.calls - before[0],
                after.prompt_tokens - before[1],
                after.completion_tokens - before[2],
            )
        )
        tables.append(table)
        if not table.num_rows and METHODS[name].image:
            left_out[name] = (
                f"nobody to learn: methods.personal_users is {context.personal_users}, and a person "
                f"needs {FEWEST_PICTURES} visible pictures"
            )
        progress(place + 1, len(methods), f"methods' prompts written ({name})")
    order = {name: place for place, name in enumerate(METHODS)}
    whole = pa.concat_tables(tables)
    rows = list(zip(whole["case_id"].to_pylist(), whole["method"].to_pylist(), strict=True))
    case_place = {case: place for place, case in enumerate(context.cases["case_id"].to_pylist())}
    sorted_rows = sorted(
        range(len(rows)), key=lambda i: (case_place[rows[i][0]], order[rows[i][1]])
    )
    flags = [flag for text in whole["flags"].to_pylist() for flag in text.split()]
    report = PromptReport(
        by_method={cost.method: cost.prompts for cost in costs},
        costs=tuple(costs),
        flags={flag: flags.count(flag) for flag in sorted(set(flags))},
        not_run=left_out,
    )
    return whole.take(pa.array(sorted_rows, pa.int64())), report
