"""Training an encoder on user blocks: AdamW, early stopping, and resuming after a kill.

What lives here: the loop. What does not: its parts (`training_setup`), architectures (`models`),
losses, batches (`zipp_dagster.graph.sampling`) and the file format of checkpoints.

Every draw depends on (seed, epoch, step), so on the CPU a run that resumes from a checkpoint ends
in the same bytes as one that was never killed. CUDA runs the same code with the same draws, but adds
messages up by atomic operations, in any order (`index_add_`, PyG's scatter): two runs there differ in
the last bits, and may part further with every step. Several processes may train together (`peers`):
they share out each batch of users, and the first writes what is written.
"""
# ruff: noqa: TID253  (torch is this module's subject)

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic, perf_counter, process_time

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from zipp_dagster.encoder import losses
from zipp_dagster.encoder.checkpoint import FILE, load_checkpoint, save_checkpoint
from zipp_dagster.encoder.config import Architecture, EncoderSettings
from zipp_dagster.encoder.fingerprint import training_fingerprint
from zipp_dagster.encoder.inputs import MessageTensors
from zipp_dagster.encoder.model_io import save_model
from zipp_dagster.encoder.peers import ALONE, Peers
from zipp_dagster.encoder.training_setup import TrainingRun
from zipp_dagster.progress import Progress, in_words, silent

HistoryRow = dict[str, float]
Log = Callable[[HistoryRow], None]


@dataclass(frozen=True)
class TrainingReport:
    """How a training run went, for metadata and MLflow. Times cover this process only.

    `fingerprint` is that of settings and data (`fingerprint.training_fingerprint`).
    Target edges a CPU-second: of the steps alone, and with the validations between them.
    """

    architecture: str
    fingerprint: str
    parameters: int
    epochs: int
    best_epoch: int
    validation_hits: float
    validation_k: int
    validation_links: int
    stopped_early: bool
    image_align: str
    resumed_at_step: int
    target_edges: int
    seconds: float
    target_edges_per_cpu_second: float
    target_edges_per_cpu_second_validated: float
    history: list[HistoryRow]


@dataclass
class LoopState:
    """All that a resumed loop needs besides weights; goes into the checkpoint's header."""

    step: int = 0
    best: float = -1.0
    best_epoch: int = 0
    stale: int = 0
    stopped: bool = False
    link_sum: float = 0.0
    image_sum: float = 0.0
    summed_steps: int = 0
    history: list[HistoryRow] = field(default_factory=list)


def no_log(row: HistoryRow) -> None:
    """Keeps no history elsewhere."""


def train(
    graph_dir: Path,
    split_dir: Path,
    features_dir: Path,
    visual: pa.Table | None,
    settings: EncoderSettings,
    out_dir: Path,
    scratch_dir: Path,
    progress: Progress = silent,
    log: Log = no_log,
    *,
    architecture: Architecture = "gatv2",
    peers: Peers = ALONE,
) -> TrainingReport:
    """Train an encoder and write the best one by validation hits@k as a model directory.

    Args:
        graph_dir: a graph directory.
        split_dir: its split.
        features_dir: its community features.
        visual: `image_embeddings` (user_id, embedding, and optionally subreddit, which lets
            images of held-out communities be dropped) or `visual_profiles`; None without images.
        settings: see `EncoderSettings`.
        out_dir: an existing, empty directory for the model.
        scratch_dir: an existing directory that outlives a kill; its checkpoint goes at the end.
        progress: told epochs.
        log: called with each row of the history, from the resumed step on.
        architecture: which encoder; rivals train here too, on the same terms.
        peers: the processes that train together. All get the same directories; `users_per_batch`
            users make a batch of all of them.

    Raises:
        GraphError: damaged inputs.
        ValueError: nothing to train or validate on, or a loss that is not finite.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        with torch.random.fork_rng():
            run = TrainingRun(
                graph_dir,
                split_dir,
                features_dir,
                visual,
                settings,
                architecture,
                peers.rank,
                peers.size,
            )
            fingerprint = training_fingerprint(
                graph_dir, split_dir, features_dir, visual, settings, architecture, peers.size
            )
            return _loop(run, fingerprint, out_dir, scratch_dir, progress, log, peers)
    finally:
        torch.set_num_threads(threads)


def _loop(
    run: TrainingRun,
    fingerprint: str,
    out_dir: Path,
    scratch_dir: Path,
    progress: Progress,
    log: Log,
    peers: Peers,
) -> TrainingReport:
    settings, batches = run.settings, run.sampler.batches
    total = settings.epochs * batches
    optimizer = torch.optim.AdamW(
        _parameter_groups(run.module, settings.weight_decay), lr=settings.lr
    )
    state, best = LoopState(), None
    resumed = load_checkpoint(scratch_dir, fingerprint, run.module, optimizer)
    if resumed:
        state, best = LoopState(**resumed[0]), resumed[1]
    first, targets = state.step, 0
    began, began_cpu, saved = perf_counter(), process_time(), monotonic()
    validating = 0.0
    run.module.train()
    while state.step < total and not state.stopped:
        epoch = state.step // batches
        rate = learning_rate(state.step, total, settings)
        targets += _step(run, optimizer, state, rate, peers)
        if state.step % batches == 0:
            if (epoch + 1) % settings.validation_every == 0 or state.step == total:
                before = process_time()
                best = _validate(run, state, rate, best, log, peers)
                validating += process_time() - before
            left = (total - state.step) * (perf_counter() - began) / (state.step - first)
            note = f"epochs, best hits@{settings.validation_k} {max(state.best, 0.0):.3f}"
            progress(epoch + 1, settings.epochs, f"{note}, at most {in_words(left)} left")
        if peers.rank == 0 and monotonic() - saved >= settings.checkpoint_seconds:
            save_checkpoint(scratch_dir, fingerprint, asdict(state), run.module, optimizer, best)
            saved = monotonic()
    assert best is not None
    seconds, cpu = perf_counter() - began, process_time() - began_cpu
    names = run.graph.subreddit_names
    if peers.rank == 0:
        save_model(out_dir, run.config, run.arrays(best), names, state.history)
        (scratch_dir / FILE).unlink(missing_ok=True)
    return TrainingReport(
        architecture=run.config.architecture,
        fingerprint=fingerprint,
        parameters=sum(parameter.numel() for parameter in run.module.parameters()),
        epochs=math.ceil(state.step / batches),
        best_epoch=state.best_epoch,
        validation_hits=state.best,
        validation_k=settings.validation_k,
        validation_links=len(run.validation.target),
        stopped_early=state.stopped,
        image_align=run.config.image_align,
        resumed_at_step=first,
        target_edges=targets,
        seconds=seconds,
        target_edges_per_cpu_second=targets / max(cpu - validating, 1e-9),
        target_edges_per_cpu_second_validated=targets / max(cpu, 1e-9),
        history=state.history,
    )


def _step(
    run: TrainingRun,
    optimizer: torch.optim.Optimizer,
    state: LoopState,
    rate: float,
    peers: Peers,
) -> int:
    """One optimizer step; returns the number of its targets."""
    settings, device = run.settings, run.device
    epoch, part = divmod(state.step, run.sampler.batches)
    batch = run.sampler.batch(epoch, part)
    # Dropout and negatives: seeded by the step, so that a resumed run draws the same.
    seeds = np.random.SeedSequence([settings.seed, 13, state.step]).generate_state(2)
    torch.manual_seed(int(seeds[0]))
    generator = torch.Generator().manual_seed(int(seeds[1]))

    def move(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(device)

    candidates, log_expected = losses.draw_candidates(
        run.log_popularity, settings.negatives, generator
    )
    with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
        users, subreddits = run.module["encoder"](
            MessageTensors.of(batch.messages, device), run.communities
        )
        link = losses.link_loss(
            users,
            subreddits,
            move(batch.target_user),
            move(batch.target_subreddit),
            (move(batch.known_user), move(batch.known_subreddit)),
            candidates.to(device),
            log_expected.to(device),
        )
        loss, image = link, None
        if run.images:
            rng = np.random.default_rng([settings.seed, 14, state.step])
            owner, images = run.images.draw(batch.user_index, settings.images_per_user, rng)
            if len(owner) > 1:
                projected = run.module["image_head"](users)
                image = losses.image_align_loss(
                    projected, move(images), move(owner), settings.temperature
                )
                loss = link + settings.image_align_weight * image
    if not torch.isfinite(loss):
        raise ValueError(
            f"The training loss is {float(loss.detach())} in epoch {epoch + 1}: lower encoder.lr "
            f"({settings.lr}), or check the features for extreme values."
        )
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    peers.average(run.module)
    nn.utils.clip_grad_norm_(run.module.parameters(), settings.clip_norm)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    state.link_sum += float(link.detach())
    state.image_sum += float(image.detach()) if image is not None else 0.0
    state.summed_steps += 1
    state.step += 1
    return len(batch.target_user)


def _validate(
    run: TrainingRun,
    state: LoopState,
    rate: float,
    best: dict[str, Tensor] | None,
    log: Log,
    peers: Peers,
) -> dict[str, Tensor] | None:
    """Add a history row; returns the best weights so far."""
    hits, mrr = peers.agree(run.validation.scores() if peers.rank == 0 else (0.0, 0.0))
    row: HistoryRow = {
        "epoch": state.step // run.sampler.batches,
        "step": state.step,
        "lr": rate,
        "link_loss": state.link_sum / state.summed_steps,
        f"validation_hits{run.settings.validation_k}": hits,
        "validation_mrr": mrr,
    }
    if run.images:
        row["image_loss"] = state.image_sum / state.summed_steps
    state.history.append(row)
    state.link_sum = state.image_sum = 0.0
    state.summed_steps = 0
    log(row)
    if hits > state.best:
        state.best, state.best_epoch, state.stale = hits, state.step // run.sampler.batches, 0
        return {name: value.detach().clone() for name, value in run.module.state_dict().items()}
    state.stale += 1
    state.stopped = state.stale >= run.settings.patience
    return best


def learning_rate(step: int, total: int, settings: EncoderSettings) -> float:
    """Linear warm-up to `lr`, then a cosine to a twentieth of it."""
    warmup = max(1, round(settings.warmup_share * total))
    if step < warmup:
        return settings.lr * (step + 1) / warmup
    done = (step - warmup) / max(1, total - warmup)
    return settings.lr * (0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * done)))


def _parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Decay for matrices only: biases, norms and offsets have no reason to be small."""
    parameters = list(module.parameters())
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
