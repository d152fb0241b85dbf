"""An RLModule of which network, mask, value function and sampling are each the user's or the right one.

How the user's class is written does not matter; only what its methods return is used.

- The *network* is what the forward pass returns where every action is legal: it is called with a mask of ones.
- The *mask* is what the logits change by when the true mask is given instead.
- The *value function* is ``compute_values``, the declaration ``ValueFunctionAPI``, and what the forward pass returns for the
  loss besides logits (embeddings, advantages, value targets).
- *Sampling* is actions and log-probs that ``forward_exploration`` returns by itself.

Where the user's parameters correspond to SB3's one by one, the right network computes with them: then the hybrid has the same
parameters as the user's module, and every rung of the ladder can be climbed. Elsewhere the right network has its own.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Collection
from typing import Any

import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule

from parity.frameworks.network import NetworkFactory, build_network, network_input, sample_observations
from parity.frameworks.rllib.distributions import mask_logits, masked_distribution
from parity.frameworks.rllib.module import unmasked, unmasked_space
from parity.ladder.correspondence import correspond
from parity.task.masks import MASK_KEY

NETWORK, MASK, VALUE, SAMPLING = "network", "mask", "value", "sampling"
# Outputs that RLlib takes from a module, where it has them, instead of sampling.
SAMPLED = (Columns.ACTIONS, Columns.ACTION_LOGP)
# Every logit that a network gives lies above, every masked one below.
FORBIDDEN = -1e4
Forward = Callable[..., dict[str, Any]]


def pieces_of(module_class: type, sees_mask: bool) -> list[str]:
    """The pieces that a module class can be taken apart into."""
    samples = getattr(module_class, "_forward_exploration", None) is not TorchRLModule._forward_exploration
    return [NETWORK, *([MASK] if sees_mask else []), VALUE, *([SAMPLING] if samples else [])]


def hybrid_module(
    module_class: type,
    yours: Collection[str],
    network: NetworkFactory,
    parameter_map: dict[str, str] | None = None,
    prefix: str = "network.",
    seed: int | None = None,
    wrapped: bool = True,
) -> type:
    """The user's class with the pieces that are not in ``yours`` replaced.

    Args:
        module_class: an RLModule class of the new API stack, for torch.
        yours: of ``NETWORK``, ``MASK``, ``VALUE``, ``SAMPLING``.
        network: the right network, ``(observation_space, action_space) -> nn.Module``.
        parameter_map: SB3's parameter names -> the module's, where the task gives it.
        prefix: of SB3's names before those of ``network``.
        seed: of the right network's weights, where it has its own.
        wrapped: see `parity.frameworks.rllib.module.unmasked_space`.
    """
    bases: tuple[type, ...] = (module_class,)
    if VALUE not in yours and not issubclass(module_class, ValueFunctionAPI):
        bases = (module_class, ValueFunctionAPI)

    class Hybrid(*bases):  # type: ignore[misc]
        _in_users_code = False
        _wrapped = wrapped

        def setup(self) -> None:
            super().setup()
            if NETWORK in yours and VALUE in yours:
                return
            space = unmasked_space(self.observation_space, wrapped)
            right = build_network(network, space, self.action_space, seed)
            own = {name: tuple(p.shape) for name, p in self.named_parameters()}
            theirs = {prefix + name: tuple(p.shape) for name, p in right.named_parameters()}
            pairs = correspond(theirs, own, parameter_map).pairs
            self._pairs = {name.removeprefix(prefix): other for name, other in pairs.items()}
            # In a tuple it is no submodule: the hybrid has the parameters of the user's module, and no others.
            self._right = (right,)
            if not pairs:
                self.right_network = right

        def _hybrid(self, method: str, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            users = getattr(super(), method)
            if self._in_users_code:
                # The user's own forward pass calls another one of theirs.
                return users(batch, **kwargs)
            self._in_users_code = True
            try:
                return _composed_outputs(self, yours, lambda given: dict(users(given, **kwargs)), batch)
            finally:
                self._in_users_code = False

        _forward = functools.partialmethod(_hybrid, "_forward")
        _forward_exploration = functools.partialmethod(_hybrid, "_forward_exploration")
        _forward_inference = functools.partialmethod(_hybrid, "_forward_inference")
        _forward_train = functools.partialmethod(_hybrid, "_forward_train")

        if VALUE not in yours:

            def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
                if self._in_users_code:
                    return super().compute_values(batch, embeddings=embeddings)
                return _right_outputs(self, batch[Columns.OBS])[1]

        if MASK not in yours:

            def get_exploration_action_dist_cls(self) -> type:
                return masked_distribution(self.action_space)

            get_inference_action_dist_cls = get_train_action_dist_cls = get_exploration_action_dist_cls

    Hybrid.__name__ = Hybrid.__qualname__ = module_class.__name__
    return Hybrid


def _right_outputs(module: Any, obs: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits ``[B, n_logits]``, unmasked, and values ``[B]``, as the right network computes them."""
    space = unmasked_space(module.observation_space, module._wrapped)
    seen = network_input(unmasked(obs, module.observation_space, module._wrapped), space)
    if not module._pairs:
        return module.right_network(seen)
    own = dict(module.named_parameters())
    # An env runner's copy may lack the value head, which it has no use for.
    parameters = {name: own[other] for name, other in module._pairs.items() if other in own}
    return torch.func.functional_call(module._right[0], parameters, (seen,))


def _composed_outputs(module: Any, yours: Collection[str], users: Forward, batch: dict[str, Any]) -> dict[str, Any]:
    """What the hybrid's forward pass returns; ``users`` is the user's forward pass."""
    logits = Columns.ACTION_DIST_INPUTS
    mask = batch[Columns.OBS].get(MASK_KEY) if isinstance(batch[Columns.OBS], dict) else None
    obs = dict(batch[Columns.OBS]) if mask is not None else batch[Columns.OBS]
    if NETWORK in yours and (MASK in yours or mask is None):
        out = users(batch)
    elif NETWORK in yours:
        assert mask is not None
        out = _unmasked(users, batch)
        out[logits] = mask_logits(out[logits], mask, module.action_space)
    else:
        right = _right_outputs(module, obs)[0]
        if MASK in yours:
            free = _unmasked(users, _copied(batch))[logits]
            out = users(_copied(batch))
            out[logits] = right + torch.where(out[logits] == free, 0.0, out[logits] - free)
        else:
            out = users(_copied(batch)) if {VALUE, SAMPLING} & set(yours) else {}
            out[logits] = right if mask is None else mask_logits(right, mask, module.action_space)
    kept = {logits}
    if SAMPLING in yours:
        kept |= set(SAMPLED)
    if VALUE in yours:
        kept |= out.keys() - set(SAMPLED)
    return {column: value for column, value in out.items() if column in kept}


def _copied(batch: dict[str, Any]) -> dict[str, Any]:
    """A batch that the user's forward pass may change: what it does to its batch belongs to the user's network."""
    return copy.deepcopy(dict(batch))


def _unmasked(users: Forward, batch: dict[str, Any]) -> dict[str, Any]:
    """What the user's forward pass returns where nothing is masked.

    A module that forbids what is legal is given a mask of zeros, which then forbids nothing.
    """
    mask = batch[Columns.OBS][MASK_KEY]
    outs = []
    for filled in (torch.ones_like(mask), torch.zeros_like(mask)):
        seen = {**batch[Columns.OBS], MASK_KEY: filled}
        outs.append(users({**batch, Columns.OBS: seen}))
        if has_all(outs[-1][Columns.ACTION_DIST_INPUTS]):
            break
    else:
        outs.reverse()
    # What the forward pass takes out of its batch is missing afterwards, as in the user's module.
    for key in batch[Columns.OBS].keys() - seen.keys():
        del batch[Columns.OBS][key]
    return outs[-1]


def has_all(logits: torch.Tensor) -> bool:
    """Whether no logit looks masked."""
    return bool((logits > FORBIDDEN).all())


def separable(module_class: type, observation_space: spaces.Space, action_space: spaces.Space, config: Any) -> bool:
    """Whether the class gives logits apart from its mask: with everything allowed, or with nothing."""
    try:
        module = module_class(
            observation_space=observation_space,
            action_space=action_space,
            inference_only=False,
            learner_only=False,
            model_config=config,
            catalog_class=None,
        )
        obs = sample_observations(observation_space, 4)
        with torch.no_grad():
            out = _unmasked(lambda given: dict(module._forward(given)), {Columns.OBS: obs})
    except Exception:
        # The ladder reports what the module raises: it calls the same forward pass.
        return True
    return has_all(out[Columns.ACTION_DIST_INPUTS])
