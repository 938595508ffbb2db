"""What a training run consists of before its first step: data, module, images, validation links.

What lives here: putting the parts together from directories. What does not: the loop (`training`).
"""
# ruff: noqa: TID253  (torch is this module's subject)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from zipp_dagster.encoder import models
from zipp_dagster.encoder.config import Architecture, EncoderSettings
from zipp_dagster.encoder.evaluation import LinkTask, target_ranks
from zipp_dagster.encoder.inputs import CommunityTensors, MessageTensors
from zipp_dagster.encoder.model_io import ModelConfig
from zipp_dagster.encoder.visual import UserImages, training_images
from zipp_dagster.graph.features import load_subreddit_text, log_share
from zipp_dagster.graph.sampling import UserBlockSampler, edges_of, messages_of
from zipp_dagster.graph.split import VALIDATION, LinkSplit
from zipp_dagster.graph.store import InteractionGraph


class TrainingRun:
    """The parts of one training run.

    Raises:
        GraphError: damaged inputs.
        ValueError: nothing to train or validate on.
    """

    def __init__(
        self,
        graph_dir: Path,
        split_dir: Path,
        features_dir: Path,
        visual: pa.Table | None,
        settings: EncoderSettings,
        architecture: Architecture,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.settings, self.world_size = settings, world_size
        self.graph = InteractionGraph.open(graph_dir)
        self.split = LinkSplit.open(split_dir, self.graph)
        self.text = load_subreddit_text(features_dir, self.graph)
        self.allowed = self.split.training_messages(self.graph)
        self.device = choose_device(settings.device)
        self.images, image_align = choose_images(self.graph, self.split, visual, settings)
        self.config = ModelConfig(
            architecture=architecture,
            subreddits=self.graph.subreddits,
            text_dim=self.text.shape[1],
            hidden=settings.hidden,
            heads=settings.heads,
            layers=settings.layers,
            image_dim=self.images.dim if self.images else None,
            image_align=image_align,
            training=models.training_record(settings),
        )
        self.module = self._module()
        degree = self.graph.subreddit_counts(self.allowed)
        share = torch.from_numpy(log_share(degree, int(self.split.seen.sum())))
        self.log_popularity = torch.from_numpy(np.log1p(degree).astype(np.float32))
        self.communities = CommunityTensors(
            torch.from_numpy(self.text).to(self.device), share.to(self.device)
        )
        self.sampler = UserBlockSampler(
            self.graph,
            self.allowed,
            users_per_batch=max(1, settings.users_per_batch // world_size),
            max_edges=settings.max_edges,
            target_share=settings.target_share,
            epoch_users=settings.epoch_users,
            seed=settings.seed,
            rank=rank,
            world_size=world_size,
        )
        self.validation = Validation(self)

    def _module(self) -> nn.ModuleDict:
        torch.manual_seed(self.settings.seed)
        encoder = models.build(self.config, self.settings.dropout, self.settings.id_dropout)
        module = nn.ModuleDict({"encoder": encoder})
        if self.images:
            width = models.embedding_width(self.config)
            module["image_head"] = nn.Linear(width, self.images.dim)
        if "edge_mean" in dict(encoder.named_buffers()):
            edges = np.flatnonzero(self.allowed)
            if len(edges) > 1_000_000:
                rng = np.random.default_rng([self.settings.seed, 31])
                edges = np.sort(rng.choice(edges, 1_000_000, replace=False))
            features = self.graph.features[edges].astype(np.float32)
            deviation = features.std(axis=0)
            # A constant feature has no deviation: its scale is left alone.
            deviation = np.where(deviation > 1e-3, deviation, np.float32(1.0))
            encoder.get_buffer("edge_mean").copy_(torch.from_numpy(features.mean(axis=0)))
            encoder.get_buffer("edge_std").copy_(torch.from_numpy(deviation))
        return module.to(self.device)

    def arrays(self, state: dict[str, Tensor]) -> dict[str, np.ndarray]:
        """A module state as arrays, with the names of a model directory."""
        return {
            name.removeprefix("encoder."): value.detach().cpu().numpy()
            for name, value in state.items()
        }


class Validation:
    """hits@k of seen users' validation links, on a fixed sample of users.

    The sample is a graph of its own: its users' messages are all that communities hear.
    """

    def __init__(self, run: TrainingRun) -> None:
        task = LinkTask.of(run.graph, run.split, VALIDATION)
        links = np.flatnonzero(task.seen)
        if len(links) == 0:
            raise ValueError(
                "No training user has a validation link: every user has fewer than "
                "graph.min_communities communities, or graph.unseen_share is too high."
            )
        if len(links) > run.settings.validation_users:
            rng = np.random.default_rng([run.settings.seed, 32])
            links = np.sort(rng.choice(links, run.settings.validation_users, replace=False))
        users = task.user[links]
        self.run, self.target = run, task.target[links]
        self.messages = MessageTensors.of(messages_of(run.graph, users, run.allowed), run.device)
        owner, edges = edges_of(run.graph, users)
        known = task.known[edges]
        self.known_user = owner[known]
        self.known_subreddit = run.graph.subreddit[edges[known]].astype(np.int64)

    def scores(self) -> tuple[float, float]:
        """hits@k and MRR of the present weights."""
        self.run.module.eval()
        with torch.inference_mode():
            both = self.run.module["encoder"](self.messages, self.run.communities)
        self.run.module.train()
        users, subreddits = (part.float().cpu().numpy() for part in both)
        ranks = []
        for start in range(0, len(users), 4_096):
            part = users[start : start + 4_096] @ subreddits.T
            possible = np.ones(part.shape, dtype=bool)
            here = (self.known_user >= start) & (self.known_user < start + len(part))
            possible[self.known_user[here] - start, self.known_subreddit[here]] = False
            ranks.append(target_ranks(part, self.target[start : start + 4_096], possible))
        rank = np.concatenate(ranks)
        return float((rank <= self.run.settings.validation_k).mean()), float((1.0 / rank).mean())


def choose_device(name: str) -> torch.device:
    """The device of a setting; auto is CUDA where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def choose_images(
    graph: InteractionGraph,
    split: LinkSplit,
    visual: pa.Table | None,
    settings: EncoderSettings,
) -> tuple[UserImages | None, str]:
    """The images for ImageAlign, or None; and what to say about it."""
    if settings.image_align_weight == 0:
        return None, "off: encoder.image_align_weight is 0"
    if visual is None or visual.num_rows == 0:
        return None, "off: there are no image embeddings"
    images = training_images(graph, split, visual)
    posters = int((images.count > 0).sum())
    if posters < 2:
        return None, f"off: {posters} training users have images, a contrast needs 2"
    return images, f"on: {len(images.embeddings)} images of {posters} training users"
