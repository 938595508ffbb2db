"""GATv2 over the whole graph: users streamed in CSR order, communities resident, no torch.

What lives here: the passes over the graph. What does not: the loops over edges (`kernels`), the
files they fill (`embedding_files`), and the architecture's training form (`gatv2`, which a test
holds equal to this).

Pass l (1 … L) streams all users once: it recomputes h_uˡ⁻¹ from the community states h_s⁰ … h_sˡ⁻²
and adds each user to the communities' open softmaxes, which then close to h_sˡ. The last pass also
brings h_uᴸ. Memory: one block of users a lane, and S × width floats a lane and layer.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from threading import Event, Lock
from time import perf_counter

import numpy as np
from jaxtyping import Bool, Float32
from threadpoolctl import threadpool_limits

from zipp_dagster.encoder import kernels
from zipp_dagster.encoder.inference_progress import InferenceProgress, OpenSoftmax
from zipp_dagster.encoder.model_io import ModelError, StoredModel
from zipp_dagster.graph.features import log_share
from zipp_dagster.graph.store import Block, InteractionGraph
from zipp_dagster.progress import Progress, in_words, silent

Sink = Callable[[Block, np.ndarray, np.ndarray], None]
RunLanes = Callable[[int], list[OpenSoftmax]]
"""The open softmaxes of all lanes of a pass, from processes that have the states before it."""


class Interrupted(Exception):
    """Another lane failed; this one stopped after its block."""


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


def _out(tensors: dict[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    # One column more than the stored layer has; what goes there does not come from the states.
    weight, bias = _linear(tensors, name)
    return np.pad(weight, ((0, 0), (0, 1))), np.pad(bias, (0, 1))


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
        share = log_share(self._degree(), graph.users)
        self.user_out, self.subreddit_out = _out(t, "user_out"), _out(t, "subreddit_out")
        # The last column: 1 for users, popularity for communities.
        self.user_out[1][-1] = 1.0
        self.popularity = t["popularity"] * share
        known = np.concatenate([text, share[:, None]], axis=1)
        weight, bias = _linear(t, "subreddit_in")
        ids = model.aligned_ids(graph.subreddit_names)
        self.unknown = len(set(graph.subreddit_names) - set(model.subreddit_names))
        self.states: list[np.ndarray] = [(known @ weight + bias + ids).astype(np.float32)]

    def run(
        self,
        sink: Sink,
        progress: Progress = silent,
        checkpoints: InferenceProgress | None = None,
        run_lanes: RunLanes | None = None,
    ) -> Float32[np.ndarray, "subreddits dim"]:
        """All passes; `sink(block, user embeddings [u, D], attention [e])` gets each block once.

        With `run_lanes` the lanes run elsewhere, by `run_lane`, and the sink there.

        The sink is called from several threads, never for the same users twice. With checkpoints,
        a run goes on where the one before was killed, and ends in the same bytes; its sink then
        gets the blocks of the last pass that are left.
        """
        done, resumed, lock, began = [0], [0], Lock(), perf_counter()
        total = self.layers * self.graph.users

        def advance(users: int, *, now: bool = True) -> None:
            with lock:
                done[0] += users
                resumed[0] += 0 if now else users
                speed = (done[0] - resumed[0]) / max(perf_counter() - began, 1e-9)
                left = f", {in_words((total - done[0]) / speed)} left" if speed else ""
                progress(done[0], total, f"users × passes{left}")

        # A lane is a thread: threads of the matrix library would only wait for one another.
        with threadpool_limits(1, user_api="blas"):
            self._passes(sink, advance, checkpoints, run_lanes)
        return self.subreddits()

    def run_lane(
        self, layer: int, lane: int, sink: Sink, progress: Progress, checkpoints: InferenceProgress
    ) -> OpenSoftmax:
        """One lane of a pass, for another process; `states` must be those before the pass.

        Progress tells the lane's users.
        """
        first, last = self.ranges[lane]
        done = [0]

        def advance(users: int, *, now: bool = True) -> None:
            done[0] += users
            progress(done[0], last - first)

        with threadpool_limits(1, user_api="blas"):
            return _Pass(self, layer, sink, advance, checkpoints).lane(lane)

    def _passes(
        self,
        sink: Sink,
        advance: Callable[..., None],
        checkpoints: InferenceProgress | None,
        run_lanes: RunLanes | None,
    ) -> None:
        for layer in range(self.layers):
            if checkpoints and (over := checkpoints.states(layer)) is not None:
                self.states.append(over)
                advance(self.graph.users, now=False)
                continue
            work = _Pass(self, layer, sink, advance, checkpoints)
            state = self.states[layer].copy()
            lanes = run_lanes(layer) if run_lanes else work.lanes()
            work.side.finish(state, kernels.merge_softmax(lanes))
            self.states.append(state)
            if checkpoints and layer < self.layers - 1:
                checkpoints.save_states(layer, state)

    def subreddits(self) -> Float32[np.ndarray, "subreddits dim"]:
        """Community embeddings, from the states after the last pass."""
        out = self.states[-1] @ self.subreddit_out[0] + self.subreddit_out[1]
        out[:, -1] = self.popularity
        return out

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


class _Pass:
    """One pass over all users, lane by lane."""

    def __init__(
        self,
        inference: GraphInference,
        layer: int,
        sink: Sink,
        advance: Callable[..., None],
        checkpoints: InferenceProgress | None,
    ) -> None:
        self.inference, self.layer, self.sink, self.advance = inference, layer, sink, advance
        self.checkpoints, self.failed = checkpoints, Event()
        self.last = layer == inference.layers - 1
        self.sources = inference._user_sources(layer + 1 if self.last else layer)
        self.side = inference.to_subreddit[layer]
        self.target = self.side.project_target(inference.states[layer])

    def lanes(self) -> list[OpenSoftmax]:
        """The open softmaxes of all lanes, each lane in a thread."""
        count = len(self.inference.ranges)
        if count == 1:
            return [self.lane(0)]
        with ThreadPoolExecutor(count) as pool:
            futures = [pool.submit(self.lane, index) for index in range(count)]
            try:
                wait(futures)
            finally:
                # After an interrupt too: else leaving the pool would wait for all users.
                self.failed.set()
        for future in futures:
            error = future.exception()
            if error is not None and not isinstance(error, Interrupted):
                raise error
        return [future.result() for future in futures]

    def lane(self, index: int) -> OpenSoftmax:
        """Stream one lane's users into open softmaxes, which come back."""
        whole = self.inference
        first, last = whole.ranges[index]
        state = kernels.open_softmax(whole.graph.subreddits, whole.heads, whole.hidden)
        start = first
        try:
            if self.checkpoints and (saved := self.checkpoints.lane(self.layer, index)):
                start, state = saved
                self.advance(start - first, now=False)
            while start < last:
                if self.failed.is_set():
                    raise Interrupted
                stop = min(start + whole.block_users, last)
                self._block(start, stop, state)
                self.advance(stop - start)
                start = stop
                if self.checkpoints and self.checkpoints.due(index):
                    self.checkpoints.save_lane(self.layer, index, start, state)
        except BaseException:
            self.failed.set()
            raise
        return state

    def _block(self, start: int, stop: int, state: OpenSoftmax) -> None:
        whole, side = self.inference, self.side
        block = whole.graph.block(start, stop, whole.keep)
        user, _ = whole._embed_block(block, self.sources, self.layer)
        kernels.subreddit_messages(
            block.indptr,
            block.subreddit,
            block.features,
            side.project_source(user),
            self.target,
            side.edge_weight,
            side.attention,
            whole.heads,
            *state,
        )
        if self.last:
            user, alpha = whole._user_layer(block, user, self.sources[self.layer], self.layer)
            self.sink(block, user @ whole.user_out[0] + whole.user_out[1], alpha)


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
