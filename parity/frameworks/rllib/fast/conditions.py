"""What the fast path leaves to RLlib: the parts of a configuration that may see or change what it does not go through.

Each function looks at one part (sampling, handing arrays to the learner, the update) and returns the reasons, as sentences'
middles: "FastEnvRunner samples RLlib's own way: {reason}". No reason: the part is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from gymnasium import spaces
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.env.vector.sync_vector_multi_agent_env import SyncVectorMultiAgentEnv
from ray.rllib.utils import force_list

# What the sampler does itself, called by RLlib at every step or episode.
_EPISODE_EVENTS = ("on_episode_created", "on_episode_start", "on_episode_step", "on_episode_end")
_ENV_TO_MODULE = (
    "AddObservationsFromEpisodesToBatch",
    "AddTimeDimToBatchAndZeroPad",
    "AddStatesFromEpisodesToBatch",
    "AgentToModuleMapping",
    "BatchIndividualItems",
    "NumpyToTensor",
)
_MODULE_TO_ENV = (
    "GetActions",
    "TensorToNumpy",
    "UnBatchToIndividualItems",
    "ModuleToAgentUnmapping",
    "RemoveSingleTsTimeRankFromBatch",
    "NormalizeAndClipActions",
    "ListifyDataForVectorEnv",
)
# What RLlib's loop over minibatches is made of: what is skipped of it may be what a replaced method looks at.
_UPDATE = (
    "update",
    "_update",
    "_uncompiled_update",
    "_create_iterator_if_necessary",
    "compute_losses",
    "compute_loss_for_module",
    "compute_gradients",
    "postprocess_gradients",
    "postprocess_gradients_for_module",
    "apply_gradients",
    "before_gradient_based_update",
    "after_gradient_based_update",
    "_compute_off_policyness",
    "_log_steps_trained_metrics",
)
_OBSERVATIONS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
_ACTIONS = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


def of_callbacks(config: Any, events: Iterable[str]) -> Iterator[str]:
    """The callbacks of a configuration that listen to any of these events."""
    for event in events:
        listening = [
            kind.__name__
            for kind in force_list(config.callbacks_class)
            if getattr(kind, event, None) is not getattr(RLlibCallback, event)
        ]
        if force_list(getattr(config, f"callbacks_{event}", None)):
            listening.append("a function")
        if listening:
            yield f"{event} is listened to by {', '.join(listening)}"


def of_methods(owner: Any, base: type, names: Iterable[str]) -> Iterator[str]:
    """Methods that a subclass of ``base``, or the object itself, has in place of those of ``base``."""
    # Ray makes an actor of a class by one of its own, which wraps every method.
    kind = getattr(type(owner), "__ray_actor_class__", type(owner))
    for name in names:
        if name in vars(owner):
            yield f"{name} of this {kind.__name__} was replaced"
        elif _method(kind, name) is not _method(base, name):
            yield f"{kind.__name__} overrides {name}"


def _method(kind: type, name: str) -> Any:
    """As the class has it without those classes before it that only look (`parity.watch`)."""
    return next(vars(each)[name] for each in kind.__mro__ if name in vars(each) and not vars(each).get("only_looks"))


def of_sampling(runner: Any, base: type, methods: Iterable[str]) -> list[str]:
    """Why an env runner samples RLlib's own way; ``methods``: those of ``base`` that the fast path does not call."""
    config = runner.config
    reasons = [*of_callbacks(config, _EPISODE_EVENTS), *of_methods(runner, base, methods)]
    for pipeline, own in ((runner._env_to_module, _ENV_TO_MODULE), (runner._module_to_env, _MODULE_TO_ENV)):
        reasons += of_pipeline(pipeline, own)
    if type(runner.env.unwrapped) is not SyncVectorMultiAgentEnv:
        reasons.append(f"its sub-environments are stepped by {type(runner.env.unwrapped).__name__}")
    if config.restart_failed_sub_environments:
        reasons.append("restart_failed_sub_environments: a sub-environment that raises is made anew")
    if config.count_steps_by != "env_steps":
        reasons.append(f"count_steps_by is {config.count_steps_by!r}")
    stateful = [module_id for module_id in runner.module.keys() if runner.module[module_id].is_stateful()]  # noqa: SIM118
    if stateful:
        reasons.append(f"module {stateful[0]} is recurrent")
    return reasons + list(_of_spaces(runner.env.unwrapped.envs[0].unwrapped))


def of_update(learner: Any, base: type) -> list[str]:
    """Why a learner updates RLlib's own way; ``base``: the class whose methods the fast update knows."""
    reasons = list(of_methods(learner, base, _UPDATE))
    if learner.config.num_learners > 1:
        reasons.append("gradients are averaged over several learners")
    if learner.config._torch_grad_scaler_class or learner.config._torch_lr_scheduler_classes:
        reasons.append("gradient scalers or PyTorch's learning rate schedulers take part in each step")
    if learner.config.torch_compile_learner:
        reasons.append("torch_compile_learner: the update is compiled")
    return reasons


def of_pipeline(pipeline: Any, own: tuple[str, ...], ours: tuple[type, ...] = ()) -> Iterator[str]:
    """Connectors that are neither RLlib's default ones nor ``ours``; a default that is missing or elsewhere."""
    pieces = [type(piece) for piece in pipeline.connectors]
    foreign = [
        piece.__name__
        for piece in pieces
        if piece not in ours and (not piece.__module__.startswith("ray.rllib.") or piece.__name__ not in own)
    ]
    if foreign:
        yield f"connector {foreign[0]} in the {type(pipeline).__name__}"
    elif [piece.__name__ for piece in pieces] != list(own):
        yield f"the {type(pipeline).__name__} has not RLlib's default connectors"


def _of_spaces(env: Any) -> Iterator[str]:
    for agent in env.possible_agents:
        for space, taken in (
            (env.get_observation_space(agent), _OBSERVATIONS),
            (env.get_action_space(agent), _ACTIONS),
        ):
            strange = [
                type(part).__name__
                for part in _parts(space, nested=taken is _OBSERVATIONS)
                if not isinstance(part, taken)
            ]
            if strange:
                yield f"agent {agent} has a {strange[0]} space"


def _parts(space: Any, nested: bool) -> Iterator[Any]:
    if nested and isinstance(space, spaces.Dict | spaces.Tuple):
        for part in space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces:
            yield from _parts(part, nested)
    else:
        yield space
