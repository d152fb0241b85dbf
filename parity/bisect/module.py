"""A module between the user's and a right one: each of network, mask, value function and sampling from either side.

Nothing is known of how the user's class is written; only what its methods return is used.

- The *network* is what the forward pass returns where every action is legal: it is called with a mask of ones.
- The *mask* is what the logits change by when the true mask is given instead.
- The *value function* is ``compute_values``, the declaration ``ValueFunctionAPI``, and what the forward pass returns for the
  loss besides logits (embeddings, advantages, value targets).
- *Sampling* is actions and log-probs that ``forward_exploration`` returns by itself.

The right network computes with the user's own parameters, where those correspond to SB3's one by one: then a mixture has the
same parameters as the user's module, and every rung of the ladder can be climbed. Where they do not, it has its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule

from parity.frameworks.network import NetworkFactory, build_network, network_input, sample_observations
from parity.frameworks.rllib.distributions import mask_logits, masked_distribution
from parity.frameworks.rllib.env import OBSERVATIONS_KEY
from parity.frameworks.rllib.module import unmasked_space
from parity.ladder.correspondence import correspond
from parity.task.masks import MASK_KEY

NETWORK, MASK, VALUE, SAMPLING = "network", "mask", "value", "sampling"
# What a module computes itself and RLlib takes from it instead of sampling.
SAMPLED = (Columns.ACTIONS, Columns.ACTION_LOGP)
PHASES = ("_forward", "_forward_exploration", "_forward_inference", "_forward_train")
# A masked logit lies below every logit that a network gives.
FORBIDDEN = -1e4


def pieces(module_class: type, sees_mask: bool) -> list[str]:
    """What a module class can be taken apart into."""
    found = [NETWORK, MASK, VALUE] if sees_mask else [NETWORK, VALUE]
    samples = getattr(module_class, "_forward_exploration", None) is not TorchRLModule._forward_exploration
    return found + ([SAMPLING] if samples else [])


def composed(
    module_class: type,
    yours: Iterable[str],
    network: NetworkFactory,
    parameter_map: dict[str, str] | None = None,
    prefix: str = "network.",
    seed: int | None = None,
) -> type:
    """The user's class with the pieces that are not in ``yours`` replaced.

    Args:
        module_class: an RLModule class of the new API stack, for torch.
        yours: of ``NETWORK``, ``MASK``, ``VALUE``, ``SAMPLING``.
        network: the right network, ``(observation_space, action_space) -> nn.Module``.
        parameter_map: SB3's parameter names -> the module's, where the task gives it.
        prefix: of SB3's names before those of ``network``.
        seed: of the right network's weights, where it has its own.
    """
    yours = frozenset(yours)
    methods: dict[str, Any] = {
        "__module__": __name__,
        "_inside": False,
        "setup": _setup,
        "_settings": staticmethod(lambda: (yours, network, parameter_map, prefix, seed)),
        **{phase: _phase(phase) for phase in PHASES},
    }
    if VALUE not in yours:
        methods["compute_values"] = _compute_values
    if MASK not in yours:
        for phase in ("exploration", "inference", "train"):
            methods[f"get_{phase}_action_dist_cls"] = _distribution_class
    bases: tuple[type, ...] = (module_class,)
    if VALUE not in yours and not issubclass(module_class, ValueFunctionAPI):
        bases = (module_class, ValueFunctionAPI)
    made = type(module_class.__name__, bases, methods)
    # The methods need it for the user's own, as ``super()`` needs a class.
    made._composed = made  # type: ignore[attr-defined]
    return made


def _theirs(module: Any, name: str) -> Callable[..., Any]:
    return getattr(super(module._composed, module), name)


def _setup(self: Any) -> None:
    super(self._composed, self).setup()
    yours, factory, parameter_map, prefix, seed = self._settings()
    if NETWORK in yours and VALUE in yours:
        return
    space = unmasked_space(self.observation_space)
    network = build_network(factory, space, self.action_space, seed)
    own = {name: tuple(p.shape) for name, p in self.named_parameters()}
    theirs = {prefix + name: tuple(p.shape) for name, p in network.named_parameters()}
    pairs = correspond(theirs, own, parameter_map).pairs
    self._pairs = {name.removeprefix(prefix): other for name, other in pairs.items()}
    # In a tuple it is no submodule: the mixture has the parameters of the user's module, and no others.
    self._right = (network,)
    if not pairs:
        self.right_network = network


def _reference(self: Any, obs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits ``[B, n_logits]``, unmasked, and values ``[B]``, as the task's network computes them."""
    space = unmasked_space(self.observation_space)
    seen = network_input(obs if isinstance(space, spaces.Dict) else obs[OBSERVATIONS_KEY], space)
    if not self._pairs:
        return self.right_network(seen)
    own = dict(self.named_parameters())
    # An env runner's copy may lack the value head, which it has no use for.
    parameters = {name: own[other] for name, other in self._pairs.items() if other in own}
    return torch.func.functional_call(self._right[0], parameters, (seen,))


def _phase(name: str) -> Callable[..., dict[str, Any]]:
    def forward(self: Any, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        theirs = _theirs(self, name)
        if self._inside:
            # The user's own code calls it.
            return theirs(batch, **kwargs)
        self._inside = True
        try:
            return _compose(self, lambda given: dict(theirs(given, **kwargs)), batch)
        finally:
            self._inside = False

    forward.__name__ = name
    return forward


def _compose(self: Any, theirs: Callable[[dict[str, Any]], dict[str, Any]], batch: dict[str, Any]) -> dict[str, Any]:
    yours = self._settings()[0]
    logits = Columns.ACTION_DIST_INPUTS
    mask = batch[Columns.OBS].get(MASK_KEY) if isinstance(batch[Columns.OBS], dict) else None
    obs = dict(batch[Columns.OBS]) if mask is not None else batch[Columns.OBS]
    if NETWORK in yours and (MASK in yours or mask is None):
        out = theirs(batch)
    elif NETWORK in yours:
        assert mask is not None
        out, _ = _unmasked(theirs, batch)
        out[logits] = mask_logits(out[logits], mask, self.action_space)
    else:
        right = _reference(self, obs)[0]
        if MASK in yours:
            free = _unmasked(theirs, _copied(batch))[1]
            out = theirs(_copied(batch))
            out[logits] = right + torch.where(out[logits] == free, 0.0, out[logits] - free)
        else:
            out = theirs(_copied(batch)) if {VALUE, SAMPLING} & yours else {}
            out[logits] = right if mask is None else mask_logits(right, mask, self.action_space)
    kept = set(SAMPLED) if SAMPLING in yours else set()
    if VALUE in yours:
        kept |= set(out) - set(SAMPLED)
    return {column: value for column, value in out.items() if column in kept or column == logits}


def _copied(batch: dict[str, Any]) -> dict[str, Any]:
    """What the user's forward pass does to its batch belongs to their network."""
    return copy.deepcopy(dict(batch))


def _unmasked(
    theirs: Callable[[dict[str, Any]], dict[str, Any]], batch: dict[str, Any]
) -> tuple[dict[str, Any], torch.Tensor]:
    """What the user's forward pass returns where nothing is masked, and its logits.

    A module that forbids what is legal is asked with a mask of zeros, which then forbids nothing.
    """
    mask = batch[Columns.OBS][MASK_KEY]
    outs = []
    for filled in (torch.ones_like(mask), torch.zeros_like(mask)):
        seen = {**batch[Columns.OBS], MASK_KEY: filled}
        outs.append(theirs({**batch, Columns.OBS: seen}))
        if has_all(outs[-1][Columns.ACTION_DIST_INPUTS]):
            break
    else:
        outs.reverse()
    # What the forward pass takes out of its batch is missing afterwards, as in the user's module.
    for key in [key for key in batch[Columns.OBS] if key not in seen]:
        del batch[Columns.OBS][key]
    return outs[-1], outs[-1][Columns.ACTION_DIST_INPUTS]


def has_all(logits: torch.Tensor) -> bool:
    """Whether no logit looks masked."""
    return bool((logits > FORBIDDEN).all())


def _compute_values(self: Any, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
    if self._inside:
        return _theirs(self, "compute_values")(batch, embeddings=embeddings)
    return _reference(self, batch[Columns.OBS])[1]


def _distribution_class(self: Any) -> type:
    return masked_distribution(self.action_space)


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
            _, logits = _unmasked(lambda given: dict(module._forward(given)), {Columns.OBS: obs})
    except Exception:
        # What the module raises by itself is the ladder's to say.
        return True
    return has_all(logits)
