"""The resumable training loop that every small model shares.

It knows optimisation, the learning-rate plan, averaging, states and the history; it knows no data
and no loss (those come as a `step_loss` function). A state is one safetensors file that is replaced
atomically: a killed run goes on where it was saved, and ends with the weights of an unbroken run.
"""

# ruff: noqa: TID253  (torch: this module's subject)
from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from zipp_dagster.progress import Progress, silent

StepLoss = Callable[[int], tuple[Tensor, dict[str, float]]]


@dataclass(frozen=True)
class Plan:
    """How one model is optimised: warm-up, a constant rate, then a linear decay to zero."""

    steps: int
    batch: int
    rate: float
    warmup: int = 50
    decay: float = 0.3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0
    averaging: float = 0.0

    def rate_at(self, step: int) -> float:
        """The learning rate of a step; the decay covers the last `decay` share of the steps."""
        start = self.steps * (1 - self.decay)
        falling = (self.steps - step) / max(1.0, self.steps - start)
        return self.rate * min(1.0, (step + 1) / self.warmup, falling)


@dataclass(frozen=True)
class Outcome:
    """Where a training run stands."""

    step: int
    finished: bool
    seconds: float


def train(
    name: str,
    module: nn.Module,
    step_loss: StepLoss,
    plan: Plan,
    directory: Path,
    *,
    seed: int,
    save_every_s: float = 120.0,
    deadline: float | None = None,
    average: nn.Module | None = None,
    progress: Progress = silent,
) -> Outcome:
    """Optimises `module` until the plan's last step or the deadline (seconds since the epoch).

    `average`, if given, is a copy of the module that follows it by an exponential mean. Writes
    `<directory>/state.safetensors` and appends to `<directory>/history.jsonl`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    state = directory / "state.safetensors"
    weights = [p for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        weights, lr=plan.rate, betas=plan.betas, weight_decay=plan.weight_decay
    )
    step, seconds = 0, 0.0
    if state.exists():
        step, seconds = _load_state(state, module, average, optimiser, weights)
    started = last_save = time.perf_counter()
    before = seconds
    module.train()
    while step < plan.steps:
        torch.manual_seed(seed * 1_000_003 + step)
        for group in optimiser.param_groups:
            group["lr"] = plan.rate_at(step)
        loss, numbers = step_loss(step)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(weights, plan.clip)
        optimiser.step()
        step += 1
        if average is not None:
            _follow(average, module, min(plan.averaging, step / (step + 10)))
        now = time.perf_counter()
        seconds = before + now - started
        if step % 25 == 0 or step == plan.steps:
            value = float(loss.detach())
            if value != value:
                raise FloatingPointError(
                    f"{name}: the loss is not a number at step {step}; delete {state} and train "
                    "with imaging.training.precision=fp32"
                )
            row = {"step": step, "samples": step * plan.batch, "seconds": round(seconds, 2)}
            row |= {"loss": value, "gradient": float(norm), **numbers}
            with (directory / "history.jsonl").open("a", encoding="utf-8") as out:
                out.write(json.dumps(row) + "\n")
            progress(step, plan.steps, f"{name} loss {value:.4f}")
        out_of_time = deadline is not None and time.time() > deadline
        if step == plan.steps or out_of_time or now - last_save > save_every_s:
            _save_state(state, module, average, optimiser, weights, step, seconds)
            last_save = time.perf_counter()
        if out_of_time:
            break
    module.eval()
    return Outcome(step=step, finished=step >= plan.steps, seconds=seconds)


@torch.no_grad()
def _follow(average: nn.Module, module: nn.Module, keep: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(module.parameters()), 1 - keep)


def _save_state(
    path: Path,
    module: nn.Module,
    average: nn.Module | None,
    optimiser: torch.optim.Optimizer,
    weights: list[nn.Parameter],
    step: int,
    seconds: float,
) -> None:
    tensors = {f"model.{k}": v.detach().contiguous() for k, v in module.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{k}": v.contiguous() for k, v in average.state_dict().items()}
    for i, weight in enumerate(weights):
        for key, value in optimiser.state.get(weight, {}).items():
            tensors[f"optimiser.{i}.{key}"] = torch.as_tensor(value).contiguous()
    tensors = {k: v.clone() for k, v in tensors.items()}
    temporary = path.with_suffix(".partial")
    save_file(tensors, temporary, metadata={"step": str(step), "seconds": str(seconds)})
    temporary.replace(path)


def _load_state(
    path: Path,
    module: nn.Module,
    average: nn.Module | None,
    optimiser: torch.optim.Optimizer,
    weights: list[nn.Parameter],
) -> tuple[int, float]:
    with safe_open(path, framework="pt") as stored:
        metadata = stored.metadata()
        tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
    module.load_state_dict(_under(tensors, "model."))
    if average is not None:
        average.load_state_dict(_under(tensors, "average."))
    for i, weight in enumerate(weights):
        moments = _under(tensors, f"optimiser.{i}.")
        if moments:
            optimiser.state[weight] = moments
    return int(metadata["step"]), float(metadata["seconds"])


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


def restore(path: Path, module: nn.Module, average: bool = False) -> int:
    """Loads the weights (or their running mean) of a saved state; returns its step.

    Raises FileNotFoundError when the stage has never saved a state.
    """
    if not path.exists():
        raise FileNotFoundError(f"no training state at {path}: run the training stage first")
    with safe_open(path, framework="pt") as stored:
        step = int(stored.metadata()["step"])
        tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
    module.load_state_dict(_under(tensors, "average." if average else "model."))
    return step
