"""What Stable-Baselines3 computes from a port's rollout: its distributions, its buffer's returns, its own ``train()``.

The environment's side of the rollout (observations, masks, actions, rewards, ends) is the input, never the port's batch:
where the two differ, the results do. Arrays, below ``M/sb3`` for a module ``M`` (see ``parity.capture.rllib.rollout``):

    logits, values, logp, entropy        on the V rows that stand for decisions (logits before masking)
    space/logits, space/values           on the observations drawn from the space
    grown/logits, grown/values           likewise, with weights whose outputs are far apart (``parity.capture.scaled_weights``)
    raw_advantages, returns              float32 [V], from RolloutBuffer.compute_returns_and_advantage, chunk by chunk
    RUN/loss/{policy, value, entropy}    float64 [minibatches]
    RUN/gradient/PARAM                   of the first minibatch, clipped
    RUN/peak/PARAM                       element by element the largest |gradient| of all minibatches, clipped
    RUN/first/PARAM, RUN/last/PARAM      parameters after the first and the last minibatch

Each RUN is one update by ``MaskablePPO.train`` from the same weights. ``first_…`` runs take one step on the rows of the
port's first minibatch, ``full_…`` runs all minibatches:

    …_sb3          as SB3 does it
    …_advantages   with the port's advantages in place of SB3's normalisation per minibatch
    …_adam_eps     with the port's epsilon in Adam
    …_minibatches  with the port's composition and order of minibatches
    …_all          with all three
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.buffers import MaskableDictRolloutBufferSamples
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import configure

from parity.frameworks import hyperparameters
from parity.results.capture import Numbers
from parity.task import PPOParams


@dataclasses.dataclass(frozen=True)
class Decisions:
    """The environment's side of a rollout, V decisions in chunks.

    Attributes:
        observations: what the policy takes, a dict of arrays or an array ``[V, …]``.
        masks: bool ``[V, n_logits]``.
        actions: ``[V]`` or ``[V, k]``.
        rewards: float64 ``[V]``.
        chunk: int64 ``[V]``, not decreasing.
        terminated, truncated: bool ``[V]``; at the last row of a chunk neither means that the rollout was cut there.
        after: observations that followed the last row of each chunk.
    """

    observations: Any
    masks: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    chunk: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    after: Any

    def last_rows(self) -> np.ndarray:
        """Row of the end of each chunk, int64 ``[chunks]``."""
        return np.flatnonzero(np.append(np.diff(self.chunk) != 0, True))


@dataclasses.dataclass(frozen=True)
class PortUpdate:
    """How the port cut its update into minibatches.

    Attributes:
        minibatches: for each, the decisions in it (row numbers below V, bootstrap rows left out).
        advantages: float32 ``[V]``, as the port's loss sees them.
        batch_size, epochs: asked for.
        adam_eps: epsilon of the port's Adam.
    """

    minibatches: list[np.ndarray]
    advantages: np.ndarray
    batch_size: int
    epochs: int
    adam_eps: float


def forward(numbers: Numbers, folder: str, policy: MaskableActorCriticPolicy, decisions: Decisions) -> None:
    """The policy's distribution and values on the decisions."""
    actions = torch.as_tensor(decisions.actions)
    with torch.no_grad():
        observations = _tensors(decisions.observations)
        logits = _logits(policy.get_distribution(observations))
        values, logp, entropy = policy.evaluate_actions(observations, actions, action_masks=decisions.masks)
    assert entropy is not None
    numbers.put(
        f"{folder}/sb3",
        {"logits": logits, "values": values.flatten().numpy(), "logp": logp.numpy(), "entropy": entropy.numpy()},
    )


def forward_space(
    numbers: Numbers, folder: str, policy: MaskableActorCriticPolicy, observations: Any, name: str = "space"
) -> None:
    """The policy on observations drawn from the space; stored below ``sb3/NAME``."""
    with torch.no_grad():
        tensors = _tensors(observations)
        logits, values = _logits(policy.get_distribution(tensors)), policy.predict_values(tensors)
    numbers.put(f"{folder}/sb3/{name}", {"logits": logits, "values": values.flatten().numpy()})


def outputs(policy: MaskableActorCriticPolicy, observations: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The policy's logits ``[B, n_logits]`` and values ``[B, 1]``."""
    tensors = _tensors(observations)
    return torch.as_tensor(_logits(policy.get_distribution(tensors))), policy.predict_values(tensors)


def returns(
    numbers: Numbers,
    folder: str,
    policy: MaskableActorCriticPolicy,
    decisions: Decisions,
    gamma: float,
    gae_lambda: float,
) -> None:
    """Advantages and value targets by SB3's buffer, one buffer per chunk; truncation as ``collect_rollouts`` does it."""
    values = numbers[f"{folder}/sb3/values"]
    with torch.no_grad():
        after = policy.predict_values(_tensors(decisions.after)).flatten().numpy()
    advantages, targets = np.empty_like(values), np.empty_like(values)
    start = 0
    for chunk, last in enumerate(decisions.last_rows()):
        rows = slice(start, last + 1)
        rewards = decisions.rewards[rows].astype(np.float32)
        terminated, truncated = bool(decisions.terminated[last]), bool(decisions.truncated[last])
        if truncated:
            rewards[-1] += gamma * after[chunk]
        buffer = RolloutBuffer(
            len(rewards), spaces.Discrete(2), spaces.Discrete(2), "cpu", gae_lambda=gae_lambda, gamma=gamma, n_envs=1
        )
        buffer.rewards[:, 0], buffer.values[:, 0] = rewards, values[rows]
        buffer.episode_starts[0] = 1.0
        buffer.compute_returns_and_advantage(
            last_values=torch.as_tensor(after[chunk : chunk + 1]), dones=np.array([terminated or truncated])
        )
        advantages[rows], targets[rows] = buffer.advantages[:, 0], buffer.returns[:, 0]
        start = last + 1
    numbers.put(f"{folder}/sb3", {"raw_advantages": advantages, "returns": targets})


def update(
    numbers: Numbers,
    folder: str,
    policy: MaskableActorCriticPolicy,
    decisions: Decisions,
    port: PortUpdate,
    ppo: PPOParams,
    old_logp: np.ndarray,
) -> None:
    """All runs of the module's docstring. ``old_logp``: float32 ``[V]``, log-probs at sampling."""
    raw = numbers[f"{folder}/sb3/raw_advantages"]
    own = port.minibatches if _is_sb3s(port, len(raw)) else _minibatches(len(raw), port.batch_size, port.epochs)
    runs = {
        "first_sb3": (port.minibatches[:1], False, ppo.adam_eps),
        "first_advantages": (port.minibatches[:1], True, ppo.adam_eps),
        "first_all": (port.minibatches[:1], True, port.adam_eps),
        "full_sb3": (own, False, ppo.adam_eps),
        "full_advantages": (own, True, ppo.adam_eps),
        "full_adam_eps": (own, False, port.adam_eps),
        "full_minibatches": (port.minibatches, False, ppo.adam_eps),
        "full_all": (port.minibatches, True, port.adam_eps),
    }
    for name, (minibatches, ports_advantages, eps) in runs.items():
        settings = dataclasses.replace(
            ppo, adam_eps=eps, normalize_advantage=ppo.normalize_advantage and not ports_advantages
        )
        trainer = _Trainer(copy.deepcopy(policy), decisions.observations, settings)
        advantages = port.advantages if ports_advantages else raw
        columns = {
            "actions": decisions.actions.reshape(len(raw), -1).astype(np.float32),
            "old_values": numbers[f"{folder}/sb3/values"],
            "old_log_prob": old_logp,
            "advantages": advantages,
            "returns": numbers[f"{folder}/sb3/returns"],
            "action_masks": decisions.masks.astype(np.float32),
        }
        for key, arrays in trainer.run(minibatches, columns).items():
            numbers.put(f"{folder}/sb3/{name}/{key}", arrays)


def _is_sb3s(port: PortUpdate, rows: int) -> bool:
    """Whether the port's minibatches are what SB3's buffer could have dealt: permutations cut into pieces."""
    lengths = [len(m) for m in _minibatches(rows, port.batch_size, port.epochs)]
    if [len(m) for m in port.minibatches] != lengths:
        return False
    per_epoch = len(lengths) // port.epochs
    dealt = [np.sort(np.concatenate(port.minibatches[i : i + per_epoch])) for i in range(0, len(lengths), per_epoch)]
    in_order = all((np.diff(m) == 1).all() for m in port.minibatches[:per_epoch]) and rows > 2
    return all(np.array_equal(epoch, np.arange(rows)) for epoch in dealt) and not in_order


def _minibatches(rows: int, batch_size: int, epochs: int) -> list[np.ndarray]:
    """What ``MaskableRolloutBuffer.get`` deals, from a fixed generator."""
    generator = np.random.default_rng(0)
    permutations = [generator.permutation(rows) for _ in range(epochs)]
    return [p[start : start + batch_size] for p in permutations for start in range(0, rows, batch_size)]


class _Trainer:
    """A ``MaskablePPO`` around a given policy, fed minibatch by minibatch: the losses and steps are its own ``train()``."""

    def __init__(self, policy: MaskableActorCriticPolicy, observations: Any, ppo: PPOParams) -> None:
        self._observations = observations
        self._model: Any = MaskablePPO(
            MaskableActorCriticPolicy,
            env=None,
            device="cpu",
            _init_setup_model=False,
            **hyperparameters.to_sb3(ppo),  # type: ignore[arg-type]
        )
        model = self._model
        model.observation_space, model.action_space, model.n_envs = policy.observation_space, policy.action_space, 1
        model.policy_class = lambda *_, **__: policy
        # A buffer of its own is never filled: `get` below deals what it would.
        model.rollout_buffer_class = lambda *_, **__: self
        model._setup_model()
        model.n_epochs, model._current_progress_remaining = 1, 1.0
        model.set_logger(configure(None, []))
        self._normalize = ppo.normalize_advantage
        policy.optimizer = torch.optim.Adam(policy.parameters(), lr=ppo.learning_rate, eps=ppo.adam_eps)
        self._dealt: list[Any] = []
        self.values = self.returns = np.zeros(2)

    def get(self, batch_size: int) -> list[Any]:
        """In place of ``RolloutBuffer.get``."""
        return self._dealt

    def run(self, minibatches: list[np.ndarray], columns: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
        losses: dict[str, list[float]] = {"policy": [], "value": [], "entropy": []}
        found: dict[str, dict[str, Any]] = {}
        peak: dict[str, Any] = {}
        policy = self._model.policy
        for i, rows in enumerate(minibatches):
            if len(rows) == 0:
                continue
            observations = _tensors(_take(self._observations, rows))
            taken = {name: torch.as_tensor(column[rows]) for name, column in columns.items()}
            self._dealt = [MaskableDictRolloutBufferSamples(observations=observations, **taken)]
            # MaskablePPO 2.9.2 divides by the NaN spread of a single row; SB3's PPO leaves it as it is.
            self._model.normalize_advantage = self._normalize and len(rows) > 1
            self._model.train()
            logged = self._model.logger.name_to_value
            losses["policy"].append(float(logged["train/policy_gradient_loss"]))
            losses["value"].append(float(logged["train/value_loss"]))
            losses["entropy"].append(-float(logged["train/entropy_loss"]))
            gradients = {n: p.grad.numpy() for n, p in policy.named_parameters() if p.grad is not None}
            for name, gradient in gradients.items():
                peak[name] = np.maximum(peak.get(name, 0.0), np.abs(gradient))
            if i == 0:
                found["gradient"] = {n: g.copy() for n, g in gradients.items()}
                found["first"] = _parameters(policy)
        found["last"] = _parameters(policy)
        found["loss"], found["peak"] = losses, peak
        return found


def _parameters(policy: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: parameter.detach().numpy().copy() for name, parameter in policy.named_parameters()}


def _logits(distribution: Any) -> np.ndarray:
    """Unmasked log-probabilities ``[B, n_logits]``, the sub-actions' side by side."""
    parts = getattr(distribution, "distributions", None) or [distribution.distribution]
    return np.concatenate([part.logits.numpy() for part in parts], axis=-1)


def _tensors(observations: Any) -> Any:
    if isinstance(observations, dict):
        return {key: _tensors(part) for key, part in observations.items()}
    return torch.as_tensor(observations)


def _take(observations: Any, rows: np.ndarray) -> Any:
    if isinstance(observations, dict):
        return {key: _take(part, rows) for key, part in observations.items()}
    return observations[rows]
