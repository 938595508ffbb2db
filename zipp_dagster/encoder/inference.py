"""GATv2 over the whole graph: users streamed in CSR order, communities resident, no torch.

What lives here: the passes over the graph, and the files they write. What does not: the loops over
edges (`kernels`) and the architecture's training form (`gatv2`, which a test holds equal to this).

Pass l (1 … L) streams all users once: it recomputes h_uˡ⁻¹ from the community states h_s⁰ … h_sˡ⁻²
and adds each user to the communities' open softmaxes, which then close to h_sˡ. The last pass also
brings h_uᴸ. Memory: one block of users a lane, and S × width floats a lane and layer.

Layout of an embeddings directory: `user_embeddings.npy` float16 [U, D], `subreddit_embeddings.npy`
float32 [S, D], `attention.npy` float16 [E] (of each user's edges, sums to 1), `states.npy` float32
[L+1, S, hidden] (what `embed_users` needs for users who come later), `inference.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import Lock
from time import perf_counter

import numpy as np
from jaxtyping import Bool, Float32
from numpy.lib.format import open_memmap

from zipp_dagster.encoder import kernels
from zipp_dagster.encoder.config import EncoderSettings
from zipp_dagster.encoder.model_io import ModelError, StoredModel, load_model
from zipp_dagster.graph.features import load_subreddit_text, log_share
from zipp_dagster.graph.store import Block, InteractionGraph
from zipp_dagster.progress import Progress, silent

Sink = Callable[[Block, np.ndarray, np.ndarray], None]


@dataclass(frozen=True)
class InferenceSummary:
    """What was embedded, for metadata. Times are not part of the files."""

    users: int
    subreddits: int
    edges: int
    dimensions: int
    unknown_subreddits: int
    seconds: float


class Layer:
    """One GATv2 direction of a stored model, ready for the kernels."""

    def __init__(self, tensors: dict[str, np.ndarray], name: str, norm: str) -> None:
        self.source = _linear(tensors, f"{name}.lin_l")
        self.target = _linear(tensors, f"{name}.lin_r")
        # Standardised edge features enter linearly: fold mean and deviation into the weights.
        edge_weight = tensors[f"{name}.lin_edge.weight"].T / tensors["edge_std"][:, None]
        self.edge_weight = np.ascontiguousarray(edge_weight, dtype=np.float32)
        self.edge_shift = -(tensors["edge_mean"] @ self.edge_weight).astype(np.float32)
        self.attention = np.ascontiguousarray(tensors[f"{name}.att"].reshape(-1))
        self.bias = tensors[f"{name}.bias"]
        self.gamma, self.beta = tensors[f"{norm}.weight"], tensors[f"{norm}.bias"]

    def project_source(self, states: np.ndarray) -> np.ndarray:
        """W_l h + b_l."""
        return states @ self.source[0] + self.source[1]

    def project_target(self, states: np.ndarray) -> np.ndarray:
        """W_r h + b_r, with the constant part of the edge term."""
        return states @ self.target[0] + (self.target[1] + self.edge_shift)

    def finish(self, states: np.ndarray, messages: np.ndarray) -> None:
        """In place: the residual, ELU and LayerNorm after the messages."""
        kernels.finish_layer(states, messages, self.bias, self.gamma, self.beta)


def _linear(tensors: dict[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    weight = np.ascontiguousarray(tensors[f"{name}.weight"].T)
    return weight, tensors[f"{name}.bias"]


class GraphInference:
    """A stored GATv2 bound to a graph and its community features.

    Args:
        model: a stored model of architecture gatv2.
        graph: the graph to embed; its communities may differ from the model's.
        text: text vectors of the graph's communities [S, text_dim].
        keep: bool [E], the edges that may be read (all by default).
        block_users: users read at once by a lane.
        lanes: threads, each with a contiguous range of users. More lanes change the result only
            by the order of float additions.

    Raises:
        ModelError: another architecture, or text of another width.
    """

    def __init__(
        self,
        model: StoredModel,
        graph: InteractionGraph,
        text: Float32[np.ndarray, "subreddits text"],
        *,
        keep: Bool[np.ndarray, " edges"] | None = None,
        block_users: int = 50_000,
        lanes: int = 2,
    ) -> None:
        config = model.config
        if config.architecture != "gatv2":
            raise ModelError(f"Streaming inference is for gatv2, not {config.architecture}.")
        if text.shape != (graph.subreddits, config.text_dim):
            raise ModelError(
                f"The model reads text of width {config.text_dim} for {graph.subreddits} "
                f"communities, but the features are {list(text.shape)}: rebuild subreddit_features "
                "with the text encoder that the model was trained with, or train again."
            )
        self.graph, self.keep = graph, keep
        self.heads, self.layers, self.hidden = config.heads, config.layers, config.hidden
        self.block_users = block_users
        self.ranges = _lanes(graph, lanes)
        t = model.tensors
        self.to_user = [Layer(t, f"to_user.{i}", f"user_norm.{i}") for i in range(self.layers)]
        self.to_subreddit = [
            Layer(t, f"to_subreddit.{i}", f"subreddit_norm.{i}") for i in range(self.layers)
        ]
        user_in = t["user_in.weight"]
        self.projected_text = np.ascontiguousarray(text @ user_in[:, :-1].T)
        self.degree_weight = np.ascontiguousarray(user_in[:, -1])
        self.user_bias = t["user_in.bias"]
        self.user_out, self.subreddit_out = _linear(t, "user_out"), _linear(t, "subreddit_out")
        share = log_share(self._degree(), graph.users)
        known = np.concatenate([text, share[:, None]], axis=1)
        weight, bias = _linear(t, "subreddit_in")
        ids = model.aligned_ids(graph.subreddit_names)
        self.unknown = len(set(graph.subreddit_names) - set(model.subreddit_names))
        self.states: list[np.ndarray] = [(known @ weight + bias + ids).astype(np.float32)]

    def run(self, sink: Sink, progress: Progress = silent) -> Float32[np.ndarray, "subreddits dim"]:
        """All passes; `sink(block, user embeddings [u, D], attention [e])` gets each block once.

        The sink is called from several threads, never for the same users twice.
        """
        done, lock = [0], Lock()
        total = self.layers * self.graph.users

        def advance(users: int) -> None:
            with lock:
                done[0] += users
                progress(done[0], total, "users × passes")

        for layer in range(self.layers):
            last = layer == self.layers - 1
            sources = self._user_sources(layer + 1 if last else layer)
            side = self.to_subreddit[layer]
            target = side.project_target(self.states[layer])

            def lane(
                bounds: tuple[int, int],
                layer: int = layer,
                last: bool = last,
                sources: list[np.ndarray] = sources,
                target: np.ndarray = target,
                side: Layer = side,
            ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
                open_state = kernels.open_softmax(self.graph.subreddits, self.heads, self.hidden)
                for start in range(bounds[0], bounds[1], self.block_users):
                    stop = min(start + self.block_users, bounds[1])
                    block = self.graph.block(start, stop, self.keep)
                    user, _ = self._embed_block(block, sources, layer)
                    kernels.subreddit_messages(
                        block.indptr,
                        block.subreddit,
                        block.features,
                        side.project_source(user),
                        target,
                        side.edge_weight,
                        side.attention,
                        self.heads,
                        *open_state,
                    )
                    if last:
                        user, alpha = self._user_layer(block, user, sources[layer], layer)
                        sink(block, user @ self.user_out[0] + self.user_out[1], alpha)
                    advance(stop - start)
                return open_state

            if len(self.ranges) == 1:
                parts = [lane(self.ranges[0])]
            else:
                with ThreadPoolExecutor(len(self.ranges)) as pool:
                    parts = list(pool.map(lane, self.ranges))
            state = self.states[layer].copy()
            side.finish(state, kernels.merge_softmax(parts))
            self.states.append(state)
        return self.states[-1] @ self.subreddit_out[0] + self.subreddit_out[1]

    def embed_users(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """Embed any block of users from the present community states; those do not change.

        For users who came after `run` (the block's community indices are this graph's).
        Returns user embeddings [u, D] and attention [e].
        """
        sources = self._user_sources(self.layers)
        user, alpha = self._embed_block(block, sources, self.layers)
        return user @ self.user_out[0] + self.user_out[1], alpha

    def _user_sources(self, layers: int) -> list[np.ndarray]:
        return [self.to_user[i].project_source(self.states[i]) for i in range(layers)]

    def _embed_block(
        self, block: Block, sources: list[np.ndarray], layers: int
    ) -> tuple[np.ndarray, np.ndarray]:
        user = np.empty((block.users, self.hidden), dtype=np.float32)
        kernels.mean_inputs(
            block.indptr,
            block.subreddit,
            self.projected_text,
            self.degree_weight,
            self.user_bias,
            user,
        )
        alpha = kernels.edge_slots(block.indptr)
        for layer in range(layers):
            user, alpha = self._user_layer(block, user, sources[layer], layer)
        return user, alpha

    def _user_layer(
        self, block: Block, user: np.ndarray, source: np.ndarray, layer: int
    ) -> tuple[np.ndarray, np.ndarray]:
        side = self.to_user[layer]
        messages = np.empty_like(user)
        alpha = kernels.edge_slots(block.indptr)
        kernels.user_messages(
            block.indptr,
            block.subreddit,
            block.features,
            source,
            side.project_target(user),
            side.edge_weight,
            side.attention,
            self.heads,
            messages,
            alpha,
        )
        side.finish(user, messages)
        return user, alpha

    def _degree(self) -> np.ndarray:
        if self.keep is None:
            return self.graph.subreddit_degree
        degree = np.zeros(self.graph.subreddits, dtype=np.int64)
        for start, stop in self.graph.blocks(self.block_users):
            block = self.graph.block(start, stop, self.keep)
            degree += np.bincount(block.subreddit, minlength=self.graph.subreddits)
        return degree


def _lanes(graph: InteractionGraph, lanes: int) -> list[tuple[int, int]]:
    """Contiguous user ranges with about the same number of edges."""
    cuts = np.searchsorted(graph.indptr, np.linspace(0, graph.edges, lanes + 1)[1:-1])
    bounds = [0, *cuts.tolist(), graph.users]
    return [(low, high) for low, high in pairwise(bounds) if high > low]


def embed_graph(
    inference: GraphInference,
) -> tuple[Float32[np.ndarray, "users dim"], Float32[np.ndarray, "subreddits dim"]]:
    """User and community embeddings in memory, for evaluation and small graphs."""
    users = np.zeros((inference.graph.users, inference.hidden), dtype=np.float32)

    def sink(block: Block, embeddings: np.ndarray, alpha: np.ndarray) -> None:
        users[block.start : block.stop] = embeddings

    return users, inference.run(sink)


def embed_all(
    model_dir: Path,
    graph_dir: Path,
    features_dir: Path,
    out_dir: Path,
    settings: EncoderSettings,
    progress: Progress = silent,
) -> InferenceSummary:
    """Embed every user and community of a graph and keep each edge's attention.

    Writes the embeddings directory described above.

    Raises:
        GraphError: a damaged graph or features file.
        ModelError: a damaged model, or one that does not fit, or an embedding that is not finite.
    """
    began = perf_counter()
    graph = InteractionGraph.open(graph_dir)
    text = load_subreddit_text(features_dir, graph)
    inference = GraphInference(
        load_model(model_dir),
        graph,
        text,
        block_users=settings.inference_block_users,
        lanes=settings.inference_lanes,
    )
    width = inference.hidden
    users = open_memmap(
        out_dir / "user_embeddings.npy", mode="w+", dtype=np.float16, shape=(graph.users, width)
    )
    attention = open_memmap(
        out_dir / "attention.npy", mode="w+", dtype=np.float16, shape=(graph.edges,)
    )

    def sink(block: Block, embeddings: np.ndarray, alpha: np.ndarray) -> None:
        narrow = embeddings.astype(np.float16)
        if not np.isfinite(narrow).all():
            raise ModelError(
                f"An embedding of users {block.start} to {block.stop} does not fit float16; "
                f"the model in {model_dir} has diverged: train it again with a lower encoder.lr."
            )
        users[block.start : block.stop] = narrow
        attention[graph.indptr[block.start] : graph.indptr[block.stop]] = alpha

    subreddits = inference.run(sink, progress)
    users.flush()
    attention.flush()
    np.save(out_dir / "subreddit_embeddings.npy", subreddits)
    np.save(out_dir / "states.npy", np.stack(inference.states))
    sizes = {
        "users": graph.users,
        "subreddits": graph.subreddits,
        "edges": graph.edges,
        "dimensions": width,
        "unknown_subreddits": inference.unknown,
    }
    (out_dir / "inference.json").write_text(json.dumps(sizes, indent=1) + "\n")
    return InferenceSummary(**sizes, seconds=perf_counter() - began)
