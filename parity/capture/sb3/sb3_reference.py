"""What Stable-Baselines3 computes from a port's rollout: its distributions, its buffer's returns, its own ``train()``.

The environment's side of the rollout (observations, masks, actions, rewards, ends) is the input, never the port's batch:
where the two differ, the results do.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.buffers import MaskableDictRolloutBufferSamples
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import Logger

from parity.capture.module_capture import ModuleCapture, loss_terms
from parity.frameworks import hyperparameters
from parity.frameworks.network import by_path, network_input
from parity.frameworks.sb3.policy import SharedNetworkPolicy
from parity.ladder.tolerances import CPU
from parity.results.capture import Arrays, Gradient, LossTerms, RandomObservations, Rows, ScaledWeights, Step, Update
from parity.task import PPOParams

# An update that lies on a kink crosses it in four of ten such copies (measured: a packed LSTM, 12 minibatches), so that all
# of them miss it once in 150 times.
MOVES, FLOATS = 10, 4
# In units of the tolerance: nobody asks for the noise of sides that are nearer.
NEAR = 0.1
# Losses of the first minibatch that differ by more than this part differ for another reason than noise.
SAME_LOSS = 1e-3
# Before the module's own parameter names in a policy around it.
AROUND_THE_MODULE = "network.module."
# The name of an observation that is no Dict.
OBSERVATIONS = "observations"


def settings(ppo: PPOParams, **others: Any) -> PPOParams:
    """Hyperparameters for `add_reference`: how many rows there are is the rollout's, and stopping early would part the runs."""
    fields = dataclasses.asdict(ppo) | others
    return PPOParams(**fields | {"n_envs": 1, "n_steps": fields["batch_size"], "target_kl": None})


def policy_around(
    network: torch.nn.Module, spaces_: tuple[spaces.Space, spaces.Space], ppo: PPOParams
) -> SharedNetworkPolicy:
    """SB3's policy with the port's own network: everything but the forward pass is then comparable.

    ``spaces_``: of observations and of actions.
    """
    observation_space, action_space = spaces_
    return SharedNetworkPolicy(
        by_path(observation_space, observation_space),
        action_space,
        lambda _: ppo.learning_rate,
        network=lambda *_: network,
        network_space=observation_space,
        network_seed=None,
        adam_eps=ppo.adam_eps,
    )


def for_policy(observations: Arrays | np.ndarray, space: spaces.Space) -> Any:
    """Captured observations, by path, as the policy with this space takes them: with or without mask and wrapping."""
    seen = observations
    if isinstance(seen, dict) and isinstance(space, spaces.Dict):
        wrapped = not all(name in seen for name in space.spaces)
        seen = {name: seen[f"{OBSERVATIONS}/{name}" if wrapped else name] for name in space.spaces}
    elif isinstance(seen, dict):
        seen = seen[OBSERVATIONS]
    return _mapped(torch.Tensor.numpy, network_input(seen, space))


def _mapped(function: Callable[[Any], Any], observations: Any) -> Any:
    """``function`` of each entry of a Dict's observations, or of those of another space."""
    if isinstance(observations, dict):
        return {key: _mapped(function, part) for key, part in observations.items()}
    return function(observations)


def outputs(policy: MaskableActorCriticPolicy, observations: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The policy's logits ``[B, n_logits]``, normalised within each sub-action, and values ``[B, 1]``.

    ``observations``: as `for_policy` gives them.
    """
    tensors = _mapped(torch.as_tensor, observations)
    return _logits(policy.get_distribution(tensors)), policy.predict_values(tensors)


def add_random_reference(
    into: RandomObservations | ScaledWeights, policy: MaskableActorCriticPolicy, observations: Any
) -> None:
    """The policy on the random observations."""
    with torch.no_grad():
        logits, values = outputs(policy, observations)
    into.sb3_logits, into.sb3_values = logits.numpy(), values.flatten().numpy()


def add_reference(
    own: ModuleCapture,
    policy: Any,
    after: Any,
    ppo: PPOParams,
    adam_eps: float,
    connected: Arrays | None = None,
    pairs: Mapping[str, str] | None = None,
    *,
    chunk_returns: ChunkReturns | None = None,
    trainer: Callable[..., Any] | None = None,
) -> None:
    """SB3's side of a module's rungs 1 to 8: what was collected of its rollout and update, computed once more by SB3.

    Args:
        own: with rows, batch and update.
        policy: SB3's, with the module's weights; not changed.
        after: observations that followed the last row of each chunk: an array, or entry -> array.
        ppo: of this module, see `settings`.
        adam_eps: epsilon of the module's optimiser.
        connected: observations of the decisions as the port's connectors made them; the environment's where left out.
        pairs: the policy's parameter names -> the module's, where the policy is not one around the module itself.
        chunk_returns, trainer: what computes returns and updates in the place of SB3's buffer and its `Trainer`.
    """
    rows, space = own.rows, policy.observation_space
    columns = sum(own.facts.choices or [])
    masks = rows.mask if rows.has("mask") else np.ones((len(rows.reward), columns), dtype=bool)
    observations = for_policy(rows.observations if connected is None else connected, space)
    _add_forward(own, policy, observations, masks)
    _add_returns(own, policy, for_policy(after, space), ppo, chunk_returns or _by_buffer)
    if own.update.has("rows") and own.loss.has("advantages"):
        _add_updates(own, policy, observations, masks, adam_eps, ppo, pairs or {}, trainer or Trainer)


def _add_forward(own: ModuleCapture, policy: MaskableActorCriticPolicy, observations: Any, masks: np.ndarray) -> None:
    """The policy's distribution and values on the decisions."""
    with torch.no_grad():
        tensors = _mapped(torch.as_tensor, observations)
        own.forward.sb3_logits = _logits(policy.get_distribution(tensors)).numpy()
        actions = torch.as_tensor(own.rows.action)
        values, log_prob, entropy = policy.evaluate_actions(tensors, actions, action_masks=masks)
    assert entropy is not None
    own.forward.sb3_values = values.flatten().numpy()
    own.distribution.sb3_log_prob, own.distribution.sb3_entropy = log_prob.numpy(), entropy.numpy()


def last_rows(rows: Rows) -> np.ndarray:
    """Number of the last decision of each chunk, int64 ``[chunks]``."""
    return np.flatnonzero(np.append(np.diff(rows.chunk) != 0, True))


ChunkReturns = Callable[[np.ndarray, np.ndarray, float, bool, bool, PPOParams], tuple[np.ndarray, np.ndarray]]
"""Rewards and values ``[T]`` of one chunk, the value of what followed, whether it terminated, whether it was truncated, and
hyperparameters -> advantages and value targets ``[T]``."""


def _add_returns(
    own: ModuleCapture, policy: MaskableActorCriticPolicy, after: Any, ppo: PPOParams, chunk_returns: ChunkReturns
) -> None:
    """Advantages and value targets, chunk by chunk."""
    rows, values = own.rows, own.forward.sb3_values
    with torch.no_grad():
        following = policy.predict_values(_mapped(torch.as_tensor, after)).flatten().numpy()
    advantages, targets = np.empty_like(values), np.empty_like(values)
    start = 0
    for chunk, last in enumerate(last_rows(rows)):
        part = slice(start, last + 1)
        ends = bool(rows.terminated[last]), bool(rows.truncated[last])
        advantages[part], targets[part] = chunk_returns(
            rows.reward[part].astype(np.float32), values[part], following[chunk], *ends, ppo
        )
        start = last + 1
    own.returns.sb3_advantages, own.returns.sb3_returns = advantages, targets


def _by_buffer(
    rewards: np.ndarray, values: np.ndarray, following: float, terminated: bool, truncated: bool, ppo: PPOParams
) -> tuple[np.ndarray, np.ndarray]:
    """By a buffer of SB3's; truncation as ``collect_rollouts`` does it."""
    if truncated:
        rewards[-1] += ppo.gamma * following
    buffer = RolloutBuffer(
        len(rewards), spaces.Discrete(2), spaces.Discrete(2), "cpu", gae_lambda=ppo.gae_lambda, gamma=ppo.gamma, n_envs=1
    )  # fmt: skip
    buffer.rewards[:, 0], buffer.values[:, 0] = rewards, values
    buffer.episode_starts[0] = 1.0
    buffer.compute_returns_and_advantage(
        last_values=torch.as_tensor(np.array([following])), dones=np.array([terminated or truncated])
    )
    return buffer.advantages[:, 0], buffer.returns[:, 0]


def _add_updates(
    own: ModuleCapture,
    policy: MaskableActorCriticPolicy,
    observations: Any,
    masks: np.ndarray,
    adam_eps: float,
    ppo: PPOParams,
    pairs: Mapping[str, str],
    trainer: Callable[..., Any],
) -> None:
    """Updates by ``trainer`` from the same weights: one step on the port's first minibatch, and whole ones.

    Each as SB3 does it, with one thing of the port's, or with all (see the RUNs of `parity.results.capture.update`).
    """
    raw, valid = own.returns.sb3_advantages, np.flatnonzero(own.rows.valid)
    ports_minibatches = _decisions(own.update.rows, own.rows.valid)
    dealt = _minibatches(len(raw), own.update.minibatch_size, own.update.epochs)
    if _could_be_dealt(ports_minibatches, dealt, own.update.epochs):
        dealt = ports_minibatches
    columns = {
        "actions": own.rows.action.reshape(len(raw), -1).astype(np.float32),
        "old_values": own.forward.sb3_values,
        "old_log_prob": own.rollout.action_logp[valid],
        "returns": own.returns.sb3_returns,
        "action_masks": masks.astype(np.float32),
    }

    minibatches = {"first": ports_minibatches[:1], "port": ports_minibatches, "sb3": dealt}
    sb3 = "port" if dealt is ports_minibatches else "sb3"

    @functools.cache  # a port that differs in nothing asks for the same run again
    def run(which: str, ports_advantages: bool, adam_eps: float, start: Any = policy) -> Updated:
        normalize = ppo.normalize_advantage and not ports_advantages
        its_ppo = dataclasses.replace(ppo, adam_eps=adam_eps, normalize_advantage=normalize)
        advantages = own.loss.advantages[valid].astype(np.float32) if ports_advantages else raw
        updated: Updated = trainer(copy.deepcopy(start), observations, its_ppo).run(
            minibatches[which], columns | {"advantages": advantages}
        )
        return updated

    first = {
        "sb3": run("first", False, ppo.adam_eps),
        "advantages": run("first", True, ppo.adam_eps),
        "all": run("first", True, adam_eps),
    }
    own.loss.sb3 = {name: loss_terms(own.module, each.losses) for name, each in first.items()}
    own.gradient.sb3 = own.step.sb3_gradient = {name: each.gradient for name, each in first.items()}
    own.step.sb3 = {name: each.first for name, each in first.items()}
    whole = {
        "sb3": run(sb3, False, ppo.adam_eps),
        "advantages": run(sb3, True, ppo.adam_eps),
        "adam_eps": run(sb3, False, adam_eps),
        "minibatches": run("port", False, ppo.adam_eps),
        "all": run("port", True, adam_eps),
        # A learner of the user's may standardise advantages as SB3 does, within the minibatch.
        "all but advantages": run("port", False, adam_eps),
    }
    own.update.sb3 = {name: each.last for name, each in whole.items()}
    own.update.sb3_peak = {name: each.peak for name, each in whole.items()}
    own.step.sb3_last = whole["sb3"].last
    # The run of SB3's that has the port's losses: with none of the port's differences, or with all. Elsewhere it is no noise.
    nearest = next((run for run in ("sb3", "all") if _same_loss(own.loss.terms, own.loss.sb3[run])), None)
    if nearest is None:
        return
    compared: list[tuple[Gradient | Step | Update, str, Updated, Callable[[Updated], Arrays]]] = [
        (own.gradient, "clipped", first[nearest], lambda updated: updated.gradient),
        (own.step, "after", first[nearest], lambda updated: updated.first),
        (own.update, "last", whole[nearest], lambda updated: updated.last),
    ]
    distance = max(_distance(rung.optional(ours) or {}, of(theirs), pairs) for rung, ours, theirs, of in compared)
    if distance < NEAR:
        return
    arguments = (sb3, False, ppo.adam_eps) if nearest == "sb3" else ("port", True, adam_eps)
    moved = [run(*arguments, start) for start in _moved_by_floats(policy)]
    for rung, _, unmoved, of in compared:
        rung.noise = {
            name: np.array([float(np.linalg.norm(of(each)[name].astype(np.float64) - array)) for each in moved])
            for name, array in of(unmoved).items()
        }


def _same_loss(ours: LossTerms, theirs: LossTerms) -> bool:
    """Whether the terms of the first minibatch agree roughly; a term that the learner does not log says nothing."""
    pairs = [(getattr(ours, name)[:1], getattr(theirs, name)[:1]) for name in ("policy", "value", "entropy")]
    return all(np.allclose(a, b, rtol=SAME_LOSS, atol=SAME_LOSS) for a, b in pairs if np.isfinite(a).all())


def _distance(ours: Arrays, theirs: Arrays, pairs: Mapping[str, str]) -> float:
    """The largest distance of two tensors, in units of the tolerance."""
    names = {name: pairs.get(name) or name.removeprefix(AROUND_THE_MODULE) for name in theirs}
    together = [(ours[names[name]], array) for name, array in theirs.items() if names[name] in ours]
    sizes = [
        (float(np.linalg.norm(a.astype(np.float64) - b)), float(np.linalg.norm(b)))
        for a, b in together
        if a.shape == b.shape
    ]
    return max((distance / (CPU.relative * size + CPU.floor) for distance, size in sizes), default=0.0)


def _moved_by_floats(policy: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """Copies whose every weight is moved up or down by a few floats: what another order of a sum does to a computation.

    One weight alone reaches a few units; where a unit or a ratio of PPO's lies on its kink, only noise in all of them shows it.
    """
    generator = torch.Generator().manual_seed(0)
    for _ in range(MOVES):
        moved = copy.deepcopy(policy)
        with torch.no_grad():
            for parameter in moved.parameters():
                size = parameter.abs()
                float_apart = torch.nextafter(size, torch.full_like(size, float("inf"))) - size
                floats = torch.randint(1, FLOATS + 1, parameter.shape, generator=generator)
                sign = 2 * torch.randint(0, 2, parameter.shape, generator=generator) - 1
                parameter.add_(float_apart * floats * sign)
        yield moved


def _decisions(minibatches: np.ndarray, valid: np.ndarray) -> list[np.ndarray]:
    """The decisions in each minibatch (see `Update.rows`), by their numbers below V: bootstrap rows are left out."""
    number = np.where(valid, np.cumsum(valid) - 1, -1)
    decisions = [number[rows[rows >= 0]] for rows in minibatches]
    return [each[each >= 0] for each in decisions]


def _could_be_dealt(minibatches: list[np.ndarray], dealt: list[np.ndarray], epochs: int) -> bool:
    """Whether SB3's buffer, which dealt others, could have dealt these minibatches: permutations cut into pieces."""
    if [len(m) for m in minibatches] != [len(m) for m in dealt]:
        return False
    per_epoch = len(dealt) // epochs
    of_epochs = [np.concatenate(minibatches[i : i + per_epoch]) for i in range(0, len(dealt), per_epoch)]
    rows = len(of_epochs[0])
    in_order = all((np.diff(m) == 1).all() for m in minibatches[:per_epoch]) and rows > 2
    return all(np.array_equal(np.sort(epoch), np.arange(rows)) for epoch in of_epochs) and not in_order


def _minibatches(rows: int, batch_size: int, epochs: int) -> list[np.ndarray]:
    """What ``MaskableRolloutBuffer.get`` deals, from a fixed generator."""
    generator = np.random.default_rng(0)
    permutations = [generator.permutation(rows) for _ in range(epochs)]
    return [p[start : start + batch_size] for p in permutations for start in range(0, rows, batch_size)]


@dataclasses.dataclass
class Updated:
    """What one run of `Trainer` left."""

    # of each minibatch, by the names of `LossTerms`
    losses: dict[str, list[float]] = dataclasses.field(
        default_factory=lambda: {"policy": [], "value": [], "entropy": []}
    )
    gradient: Arrays = dataclasses.field(default_factory=dict)  # of the first minibatch, clipped
    # element by element the largest |gradient| of all minibatches, clipped
    peak: Arrays = dataclasses.field(default_factory=dict)
    # first, last: parameters after the first and the last minibatch
    first: Arrays = dataclasses.field(default_factory=dict)
    last: Arrays = dataclasses.field(default_factory=dict)


class Trainer:
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
        model.set_logger(Logger(folder=None, output_formats=[]))
        self._normalize = ppo.normalize_advantage
        policy.optimizer = torch.optim.Adam(policy.parameters(), lr=ppo.learning_rate, eps=ppo.adam_eps)
        self._dealt: list[Any] = []
        self.values = self.returns = np.zeros(2)

    def get(self, batch_size: int) -> list[Any]:
        """In place of ``RolloutBuffer.get``."""
        return self._dealt

    def run(self, minibatches: list[np.ndarray], columns: dict[str, np.ndarray]) -> Updated:
        updated = Updated()
        policy = self._model.policy
        for i, rows in enumerate(minibatches):
            if len(rows) == 0:
                continue
            observations = _mapped(lambda part: torch.as_tensor(part[rows]), self._observations)  # noqa: B023
            taken = {name: torch.as_tensor(column[rows]) for name, column in columns.items()}
            self._dealt = [MaskableDictRolloutBufferSamples(observations=observations, **taken)]
            # MaskablePPO 2.9.2 divides by the NaN spread of a single row; SB3's PPO leaves it as it is.
            self._model.normalize_advantage = self._normalize and len(rows) > 1
            self._model.train()
            logged = self._model.logger.name_to_value
            updated.losses["policy"].append(float(logged["train/policy_gradient_loss"]))
            updated.losses["value"].append(float(logged["train/value_loss"]))
            updated.losses["entropy"].append(-float(logged["train/entropy_loss"]))
            gradients = {n: p.grad.numpy() for n, p in policy.named_parameters() if p.grad is not None}
            for name, gradient in gradients.items():
                updated.peak[name] = np.maximum(updated.peak.get(name, 0.0), np.abs(gradient))
            if i == 0:
                updated.gradient = {n: g.copy() for n, g in gradients.items()}
                updated.first = _parameters(policy)
        updated.last = _parameters(policy)
        return updated


def _parameters(policy: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: parameter.detach().numpy().copy() for name, parameter in policy.named_parameters()}


def _logits(distribution: Any) -> torch.Tensor:
    """Unmasked log-probabilities ``[B, n_logits]``, the sub-actions' side by side."""
    parts = getattr(distribution, "distributions", None) or [distribution.distribution]
    return torch.cat([part.logits for part in parts], dim=-1)
