"""SB3's side of one module's numbers: what a framework collected of its rollout and update, computed once more by SB3.

The module's own arrays are read from ``numbers`` (``docs/frameworks.md`` lists them), SB3's are added below ``M/sb3``.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from gymnasium import spaces

from parity.capture.sb3 import sb3_reference as counterpart
from parity.frameworks.network import nested, network_input
from parity.results.capture import Numbers
from parity.task import PPOParams

# An observation that is no Dict stands under this name, beside its mask.
OBSERVATIONS = "observations"


def settings(ppo: PPOParams, **others: Any) -> PPOParams:
    """Hyperparameters for `beside`: how many rows there are is the rollout's, and stopping early would end runs apart."""
    fields = dataclasses.asdict(ppo) | others
    return PPOParams(**fields | {"n_envs": 1, "n_steps": fields["batch_size"], "target_kl": None})


def beside(numbers: Numbers, module: str, policy: Any, after: Any, ppo: PPOParams, adam_eps: float) -> None:
    """Distribution, values and returns on the module's decisions, and its update in all the runs of `counterpart`.

    Args:
        module: its id.
        policy: SB3's, with the module's weights; not changed.
        after: observations that followed the last row of each chunk: an array, or entry -> array.
        ppo: of this module, see `settings`.
        adam_eps: epsilon of the module's optimiser.
    """
    decisions = _decisions(numbers, module, after, policy.observation_space)
    counterpart.forward(numbers, module, policy, decisions)
    counterpart.returns(numbers, module, policy, decisions, ppo.gamma, ppo.gae_lambda)
    if f"{module}/update/rows" not in numbers or f"{module}/batch/advantages" not in numbers:
        return
    valid = np.flatnonzero(numbers[f"{module}/rows/valid"])
    position = np.full(len(numbers[f"{module}/rows/valid"]), -1)
    position[valid] = np.arange(len(valid))
    minibatches = [position[rows[rows >= 0]] for rows in numbers[f"{module}/update/rows"]]
    update = counterpart.PortUpdate(
        minibatches=[rows[rows >= 0] for rows in minibatches],
        advantages=numbers[f"{module}/batch/advantages"][valid].astype(np.float32),
        batch_size=numbers.facts["update"]["minibatch_size"],
        epochs=numbers.facts["update"]["epochs"],
        adam_eps=adam_eps,
    )
    old_logp = numbers[f"{module}/batch/action_logp"][valid]
    counterpart.update(numbers, module, policy, decisions, update, ppo, old_logp)


def observations(numbers: Numbers, folder: str, space: spaces.Space) -> Any:
    """The observations stored under a path, as a policy with this space takes them."""
    below = numbers.below(folder)
    return for_policy(below if below else numbers[folder], space)


def for_policy(seen: Any, space: spaces.Space) -> Any:
    """Stored observations as the policy with this space takes them: with or without mask and wrapping."""
    seen = nested(seen)
    wrapped = isinstance(seen, dict) and OBSERVATIONS in seen and OBSERVATIONS not in getattr(space, "spaces", {})
    return _arrays(network_input(seen[OBSERVATIONS] if wrapped else seen, space))


def _arrays(tensors: Any) -> Any:
    return {key: _arrays(part) for key, part in tensors.items()} if isinstance(tensors, dict) else tensors.numpy()


def _decisions(numbers: Numbers, module: str, after: Any, space: spaces.Space) -> counterpart.Decisions:
    env = f"{module}/env"
    masks = numbers.get(f"{env}/mask")
    if masks is None:
        columns = sum(numbers.facts["modules"][module]["choices"])
        masks = np.ones((len(numbers[f"{env}/reward"]), columns), dtype=bool)
    return counterpart.Decisions(
        observations=observations(numbers, f"{env}/obs", space),
        masks=masks,
        actions=numbers[f"{env}/action"],
        rewards=numbers[f"{env}/reward"],
        chunk=numbers[f"{module}/rows/chunk"],
        terminated=numbers[f"{env}/terminated"],
        truncated=numbers[f"{env}/truncated"],
        after=for_policy(after, space),
    )
