"""What the ladder compares, collected from a port: one small rollout, the learner's batch of it, one short update.

Nothing is judged here. RLlib's own env runner, connectors and learner do the work, in this process and without a Ray
cluster; the environment's side is written down by `Recording`. Every part that raises is noted in
``facts["raised"]`` with its traceback, and what depends on it is left out.

Arrays, for every module that is trained (``M`` its id, ``R`` its rows in the learner's batch, bootstrap rows included,
``V`` those that stand for decisions):

    M/weights/PARAM             before the update
    M/rows/valid                bool [R]
    M/rows/chunk                int64 [V], number of the episode chunk, counted from 0; rows of a chunk are in time order
    M/batch/COLUMN              what the loss sees: obs/…, actions, action_logp, rewards, terminateds, truncateds,
                                advantages, value_targets [R, …]
    M/env/{obs/…, mask, action, reward, terminated, truncated, done}   the environment's side of the valid rows [V, …]
    M/phase/{exploration,inference,train}/{logits, logp, entropy}      the module on the valid rows [V, …]
    M/phase/{…}/probability     [V, n_logits], as its distribution gives it
    M/values                    compute_values on all rows [R]
    M/twice/{first,second}      logits of the same batch, forward called twice
    M/space/{obs/…, mask, logits, values}    on observations drawn from the space
    M/update/rows               int64 [minibatches, longest], row numbers of each minibatch, -1 where shorter
    M/update/loss/{total, policy, value, entropy}   float64 [minibatches]
    M/update/raw_gradient/PARAM, M/update/gradient/PARAM   of the first minibatch, before and after clipping
    M/update/first/PARAM, M/update/last/PARAM              parameters after the first and after the last minibatch
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import tree
from ray.rllib.core import COMPONENT_RL_MODULE
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import ENTROPY_KEY, POLICY_LOSS_KEY, VF_LOSS_KEY
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.torch_utils import convert_to_torch_tensor

from parity.frameworks.network import sample_observations
from parity.frameworks.rllib.config import Port
from parity.frameworks.rllib.recording import Move, Recording
from parity.frameworks.rllib.stage import make_env_runner
from parity.ladder.numbers import Numbers
from parity.masks import MASK_KEY

# Enough for several ends per sub-environment where episodes are short; longer ones are waited for up to the second figure.
ENV_STEPS = 256
MOST_ENV_STEPS = 2_048
SUB_ENVIRONMENTS = 4
# Two correct implementations part after some hundred minibatches (contract, rung 8); a dozen shows every difference.
MINIBATCHES = 12
SPACE_SAMPLES = 32
ROW = "parity_row"


@dataclasses.dataclass
class Probe:
    """A port opened for its numbers; the counterpart on SB3's side works on the same objects.

    Attributes:
        runner, learner: RLlib's, as the port's configuration makes them.
        recording: the environment's side of the rollout.
        batches: module id -> the learner's columns, tensors.
        modules: ids of the modules that are trained and have rows.
        copies: the modules as they were before the update.
        after: module id -> the observations that followed the last row of each chunk, columns of arrays.
    """

    port: Port
    numbers: Numbers
    runner: Any = None
    learner: Any = None
    recording: Recording | None = None
    batches: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    modules: list[str] = dataclasses.field(default_factory=list)
    copies: dict[str, Any] = dataclasses.field(default_factory=dict)
    after: dict[str, Any] = dataclasses.field(default_factory=dict)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Notes what is raised inside under ``facts["raised"][name]`` and goes on."""
        try:
            yield
        except Exception as error:
            self.numbers.facts.setdefault("raised", {})[name] = {
                "type": type(error).__name__,
                "message": " ".join(str(error).split()),
                "traceback": traceback.format_exc(),
            }


Weights = dict[str, dict[str, torch.Tensor]]


def probe(port: Port, initial: Callable[[Any], tuple[Weights, dict[str, Any]]]) -> Probe:
    """Opens a port and collects its numbers.

    Args:
        initial: given the learner, says which parameters to copy into which module before anything is computed, and how
            they were paired (stored as ``facts["correspondence"]``).
    """
    found = Probe(port, Numbers())
    found.numbers.facts |= {
        "learning_module": port.learning_module,
        "learning_agent": port.learning_agent,
        "raised": {},
    }
    with found.part("build"):
        _build(found, initial)
    if found.learner is None:
        return found
    episodes: list[Any] = []
    with found.part("sample"):
        episodes = _sample(found)
    if not episodes:
        return found
    with found.part("batch"):
        _batch(found, episodes)
    for module_id in found.modules:
        with found.part(f"forward {module_id}"):
            _forward(found, module_id)
        with found.part(f"space {module_id}"):
            _space(found, module_id)
    with found.part("update"):
        _update(found)
    return found


def _build(found: Probe, initial: Callable[[Any], tuple[Weights, dict[str, Any]]]) -> None:
    config = found.port.config.copy(copy_frozen=False)
    envs = min(SUB_ENVIRONMENTS, config.num_envs_per_env_runner)
    config.num_env_runners = 0
    config.num_learners = 0
    config.num_envs_per_env_runner = envs
    config.train_batch_size_per_learner = ENV_STEPS
    config.rollout_fragment_length = ENV_STEPS // envs
    found.runner = make_env_runner(config)
    found.recording = Recording([env.unwrapped for env in found.runner.env.envs])
    learner = config.build_learner(env=None, spaces=found.runner.get_spaces())
    weights, found.numbers.facts["correspondence"] = initial(learner)
    for module_id, parameters in weights.items():
        module = learner.module[module_id].unwrapped()
        module.load_state_dict(parameters, strict=False)
    found.runner.set_state(
        {COMPONENT_RL_MODULE: learner.get_state(components=COMPONENT_RL_MODULE)[COMPONENT_RL_MODULE]}
    )
    found.learner = learner
    asked = config.policies_to_train
    found.numbers.facts["modules"] = {
        str(module_id): _module_facts(learner, found.runner, module_id)
        for module_id in learner.module.keys()  # noqa: SIM118
    }
    found.numbers.facts["policies_to_train"] = None if asked is None or callable(asked) else sorted(map(str, asked))
    found.numbers.facts["learner"] = type(learner).__qualname__


def _module_facts(learner: Any, runner: Any, module_id: str) -> dict[str, Any]:
    module = learner.module[module_id].unwrapped()
    return {
        "class": type(module).__name__,
        "runner_class": type(runner.module[module_id].unwrapped()).__name__,
        "value_function_api": isinstance(module, ValueFunctionAPI),
        "compute_values": callable(getattr(module, "compute_values", None)),
        "trained": bool(learner.should_module_be_updated(module_id)),
        "parameters": {name: list(p.shape) for name, p in module.named_parameters()},
        "frozen": [name for name, p in module.named_parameters() if not p.requires_grad],
        "mask_in_space": MASK_KEY in getattr(module.observation_space, "spaces", {}),
    }


def _sample(found: Probe) -> list[Any]:
    """One rollout as the algorithm would take it, until an episode has ended by itself."""
    runner, recording = found.runner, found.recording
    assert recording is not None
    starts: dict[str, tuple[int, int]] = {}
    created: list[int] = [0] * runner.num_envs
    new_episode = runner._new_episode

    def numbered(env_index: int, episodes: Any = None) -> Any:
        result = new_episode(env_index, episodes)
        held = runner._ongoing_episodes if episodes is None else episodes
        starts[held[env_index].id_] = (env_index, created[env_index])
        created[env_index] += 1
        return result

    runner._new_episode = numbered
    calls: list[list[Any]] = []
    wanted = ENV_STEPS
    while True:
        while sum(episode.env_steps() for call in calls for episode in call) < wanted:
            calls.append(runner.sample())
        ended = any(move.terminated or move.truncated for moves in recording.moves.values() for move in moves)
        if ended or wanted >= MOST_ENV_STEPS:
            break
        wanted = MOST_ENV_STEPS
    found.numbers.facts["episode_ids"] = {str(key): list(value) for key, value in starts.items()}
    found.numbers.facts["reset_seeds"] = recording.seeds
    found.numbers.facts["sample_calls"] = len(calls)
    found.numbers.facts["shared_arrays"] = sorted(recording.shared_arrays)
    return [episode for call in calls for episode in call]


def _batch(found: Probe, episodes: list[Any]) -> None:
    # The pipeline adds a timestep to the episodes that it is given.
    chunks = _chunks(found, episodes)
    batch = found.learner._learner_connector(
        rl_module=found.learner.module,
        batch={},
        episodes=copy.deepcopy(episodes),
        shared_data={},
        metrics=found.learner.metrics,
    )
    for module_id, columns in batch.items():
        if not found.learner.should_module_be_updated(module_id):
            continue
        found.modules.append(module_id)
        found.batches[module_id] = dict(columns)
        found.copies[module_id] = copy.deepcopy(found.learner.module[module_id].unwrapped())
        flat = _flat(columns)
        found.numbers.put(f"{module_id}/batch", flat)
        found.numbers.put(f"{module_id}/weights", _parameters(found, module_id))
        _identify(found, module_id, chunks.get(module_id, []), rows=len(flat[Columns.ACTIONS]))


def _chunks(found: Probe, episodes: list[Any]) -> dict[str, list[list[Move]]]:
    """Module id -> for each chunk of an agent's episode, in the learner's order, the environment's moves of its rows."""
    recording, starts = found.recording, found.numbers.facts["episode_ids"]
    assert recording is not None
    chunks: dict[str, list[list[Move]]] = {}
    for episode in episodes:
        env, number = starts[episode.id_]
        for agent, agent_episode in episode.agent_episodes.items():
            moves = recording.moves.get((env, number, agent), [])
            first = agent_episode.t_started
            chunks.setdefault(agent_episode.module_id, []).append(moves[first : first + len(agent_episode)])
    return chunks


def _identify(found: Probe, module_id: str, chunks: list[list[Move]], rows: int) -> None:
    """Which row of the batch is which decision. RLlib appends one row per chunk for bootstrapping, with loss_mask False."""
    lengths = [len(chunk) for chunk in chunks]
    moves = [move for chunk in chunks for move in chunk]
    if rows == sum(lengths) + len(lengths):
        valid = np.concatenate([np.arange(length + 1) < length for length in lengths])
    elif rows == sum(lengths):
        valid = np.ones(rows, dtype=bool)
    else:
        found.numbers.facts.setdefault("rows", {})[module_id] = {"batch": rows, "decisions": sum(lengths)}
        return
    numbers = found.numbers
    numbers.put(f"{module_id}/rows", {"valid": valid, "chunk": np.repeat(np.arange(len(lengths)), lengths)})
    numbers.put(
        f"{module_id}/env",
        {
            "action": np.stack([np.asarray(move.action) for move in moves]),
            "reward": np.array([move.reward for move in moves]),
            "terminated": np.array([move.terminated for move in moves]),
            "truncated": np.array([move.truncated for move in moves]),
        },
    )
    if all(move.mask is not None for move in moves):
        numbers.put(f"{module_id}/env", {"mask": np.stack([move.mask for move in moves if move.mask is not None])})
    with found.part(f"observations {module_id}"):
        numbers.put(f"{module_id}/env", _flat({"obs": _stack([move.observation for move in moves])}))
        # Where the recording ends at an agent's last action, what follows is not known; its own observation stands in.
        ends = [chunk[-1] for chunk in chunks]
        after = _stack([end.observation if end.after is None else end.after for end in ends])
        found.after[module_id] = _flat(after) if isinstance(after, dict) else _array(after)


def _forward(found: Probe, module_id: str) -> None:
    module = found.learner.module[module_id].unwrapped()
    columns = found.batches[module_id]
    valid = found.numbers.get(f"{module_id}/rows/valid")
    rows = np.arange(len(columns[Columns.ACTIONS])) if valid is None else np.flatnonzero(valid)
    batch = {Columns.OBS: _rows(columns[Columns.OBS], rows)}
    actions = columns[Columns.ACTIONS][torch.as_tensor(rows)]
    before = _flat(copy.deepcopy(batch))
    with torch.no_grad():
        first = module._forward(dict(batch))
        second = module._forward(dict(batch))
        phases = {
            "exploration": (module.forward_exploration, module.get_exploration_action_dist_cls),
            "inference": (module.forward_inference, module.get_inference_action_dist_cls),
            "train": (module.forward_train, module.get_train_action_dist_cls),
        }
        outs = {}
        for phase, (forward, distribution_class) in phases.items():
            out = outs[phase] = forward(dict(batch))
            logits = out[Columns.ACTION_DIST_INPUTS]
            distribution = distribution_class().from_logits(logits)
            found.numbers.put(
                f"{module_id}/phase/{phase}",
                {
                    "logits": _array(logits),
                    "logp": _array(distribution.logp(actions)),
                    "entropy": _array(distribution.entropy()),
                    "probability": _array(_probability(distribution)),
                },
            )
        if isinstance(module, ValueFunctionAPI):
            found.numbers.put(module_id, {"values": _array(module.compute_values(dict(columns)))})
            embeddings = outs["train"].get(Columns.EMBEDDINGS)
            shared = module.compute_values(dict(batch), embeddings=embeddings)
            found.numbers.put(f"{module_id}/phase/train", {"values": _array(shared)})
    for name, out in (("first", first), ("second", second)):
        found.numbers.put(f"{module_id}/twice", {name: _array(out[Columns.ACTION_DIST_INPUTS])})
    after = _flat(batch)
    changed = [name for name in before if name not in after or not np.array_equal(before[name], after[name])]
    found.numbers.facts.setdefault("batch_changed", {})[module_id] = changed
    found.numbers.facts.setdefault("forward_columns", {})[module_id] = {
        phase: sorted(map(str, out)) for phase, out in outs.items()
    }


def _space(found: Probe, module_id: str) -> None:
    """The module on observations that the environment may never show, with one and with many legal actions."""
    module = found.learner.module[module_id].unwrapped()
    drawn = sample_observations(module.observation_space, SPACE_SAMPLES)
    if not isinstance(drawn, dict) or MASK_KEY not in drawn:
        return
    mask = torch.zeros_like(drawn[MASK_KEY])
    generator = np.random.default_rng(0)
    for row in range(SPACE_SAMPLES):
        legal = generator.permutation(mask.shape[-1])[: 1 if row % 2 else 1 + generator.integers(mask.shape[-1])]
        mask[row, torch.as_tensor(legal)] = 1
    drawn[MASK_KEY] = mask
    with torch.no_grad():
        out = module.forward_train({Columns.OBS: drawn})
        found.numbers.put(f"{module_id}/space", _flat({"obs": drawn}))
        found.numbers.put(
            f"{module_id}/space", {"logits": _array(out[Columns.ACTION_DIST_INPUTS]), "mask": _array(mask)}
        )
        if isinstance(module, ValueFunctionAPI):
            values = module.compute_values({Columns.OBS: drawn}, embeddings=out.get(Columns.EMBEDDINGS))
            found.numbers.put(f"{module_id}/space", {"values": _array(values)})


def _update(found: Probe) -> None:
    """One short update by the learner itself, watched."""
    learner, config = found.learner, found.learner.config
    batch = MultiAgentBatch(
        {
            module_id: SampleBatch({**columns, ROW: torch.arange(len(columns[Columns.ACTIONS]))})
            for module_id, columns in found.batches.items()
        },
        env_steps=max(len(columns[Columns.ACTIONS]) for columns in found.batches.values()),
    )
    rows = max(len(columns[Columns.ACTIONS]) for columns in found.batches.values())
    epochs = min(config.num_epochs, 3)
    minibatch = max(config.minibatch_size or rows, -(-rows * epochs // MINIBATCHES))
    watch = _UpdateWatch(found)
    learner.update(
        batch=batch,
        num_epochs=epochs,
        minibatch_size=min(minibatch, rows),
        shuffle_batch_per_epoch=config.shuffle_batch_per_epoch,
    )
    watch.store()
    found.numbers.facts["update"] = {"epochs": epochs, "minibatch_size": min(minibatch, rows)}


class _UpdateWatch:
    """Wraps a learner's steps of an update on the instance and keeps what passes through them."""

    def __init__(self, found: Probe) -> None:
        self._found = found
        self._rows: dict[str, list[np.ndarray]] = {module_id: [] for module_id in found.modules}
        self._losses: dict[str, dict[str, list[float]]] = {
            module_id: {"total": [], "policy": [], "value": [], "entropy": []} for module_id in found.modules
        }
        self._steps = 0
        learner = found.learner
        compute_losses, postprocess, apply = (
            learner.compute_losses, learner.postprocess_gradients, learner.apply_gradients,
        )  # fmt: skip

        def watched_losses(*, fwd_out: Any, batch: Any) -> Any:
            losses = compute_losses(fwd_out=fwd_out, batch=batch)
            for module_id, columns in batch.items():
                if module_id in self._rows:
                    self._rows[module_id].append(_array(columns[ROW]).astype(np.int64))
                    self._note_losses(module_id, losses.get(module_id))
            return losses

        def watched_postprocess(gradients: Any) -> Any:
            if self._steps == 0:
                self._put("raw_gradient", gradients)
            clipped = postprocess(gradients)
            if self._steps == 0:
                self._put("gradient", clipped)
            return clipped

        def watched_apply(gradients: Any) -> Any:
            result = apply(gradients)
            if self._steps == 0:
                for module_id in found.modules:
                    found.numbers.put(f"{module_id}/update/first", _parameters(found, module_id))
            self._steps += 1
            return result

        learner.compute_losses = watched_losses
        learner.postprocess_gradients = watched_postprocess
        learner.apply_gradients = watched_apply

    def _note_losses(self, module_id: str, total: Any) -> None:
        metrics, losses = self._found.learner.metrics, self._losses[module_id]
        losses["total"].append(float("nan") if total is None else float(total))
        for name, key in (("policy", POLICY_LOSS_KEY), ("value", VF_LOSS_KEY), ("entropy", ENTROPY_KEY)):
            try:
                losses[name].append(float(metrics.peek((module_id, key))))
            except KeyError:
                losses[name].append(float("nan"))

    def _put(self, folder: str, gradients: Any) -> None:
        for module_id in self._found.modules:
            module = self._found.learner.module[module_id].unwrapped()
            named = {
                name: _array(gradients[parameter])
                for name, parameter in module.named_parameters()
                if parameter in gradients and gradients[parameter] is not None
            }
            self._found.numbers.put(f"{module_id}/update/{folder}", {k: v.copy() for k, v in named.items()})

    def store(self) -> None:
        numbers = self._found.numbers
        for module_id, minibatches in self._rows.items():
            longest = max((len(rows) for rows in minibatches), default=0)
            table = np.full((len(minibatches), longest), -1, dtype=np.int64)
            for i, rows in enumerate(minibatches):
                table[i, : len(rows)] = rows
            numbers.put(f"{module_id}/update", {"rows": table})
            numbers.put(f"{module_id}/update/loss", self._losses[module_id])
            numbers.put(f"{module_id}/update/last", _parameters(self._found, module_id))


def _parameters(found: Probe, module_id: str) -> dict[str, np.ndarray]:
    module = found.learner.module[module_id].unwrapped()
    return {name: _array(parameter).copy() for name, parameter in module.named_parameters()}


def _probability(distribution: Any) -> torch.Tensor:
    """float ``[B, n_logits]``: of each option of each sub-action."""
    if hasattr(distribution, "probabilities"):
        return distribution.probabilities
    inner = getattr(distribution, "_dist", None)
    if inner is not None and hasattr(inner, "probs"):
        return inner.probs
    parts = getattr(distribution, "_cats", None) or getattr(distribution, "cats", None)
    if parts is None:
        raise TypeError(f"the probabilities of {type(distribution).__name__} cannot be read")
    return torch.cat([_probability(part) for part in parts], dim=-1)


def _flat(columns: dict[str, Any]) -> dict[str, np.ndarray]:
    """Nested columns of arrays as paths; lists of odd things (infos, ids) are left out."""
    flat: dict[str, np.ndarray] = {}
    for name, column in columns.items():
        if isinstance(column, dict):
            flat |= {f"{name}/{key}": value for key, value in _flat(column).items()}
        elif isinstance(column, torch.Tensor | np.ndarray):
            flat[str(name)] = _array(column)
    return flat


def _array(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def _rows(column: Any, rows: np.ndarray) -> Any:
    index = torch.as_tensor(rows)
    return tree.map_structure(lambda leaf: leaf[index.to(leaf.device)], column)


def _stack(observations: list[Any]) -> Any:
    """Observations as environments give them, stacked and typed as RLlib delivers them to modules."""
    stacked = tree.map_structure(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *observations)
    return convert_to_torch_tensor(stacked)
