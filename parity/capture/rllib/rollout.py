"""Collects from a port: one small rollout, the learner's batch of it, one short update.

Nothing is judged here. RLlib's own env runner, connectors and learner do the work, in this process and without a Ray
cluster; the environment's side is written down by `Recording`. Every part that raises is noted in `Context.raised`, and what
depends on it is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import tree
from ray.rllib.core import COMPONENT_RL_MODULE
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.utils import force_list

from parity.capture.raised import note
from parity.capture.rllib import behaviour
from parity.capture.rllib.batch import batch_of
from parity.capture.rllib.env_check import checked_by_rllib
from parity.capture.rllib.port_rollout import PortRollout
from parity.capture.rllib.sequences import is_recurrent
from parity.capture.rllib.stress import stress
from parity.capture.rllib.update import between_updates, watched_update
from parity.errors import CannotStart
from parity.frameworks.rllib.arrays import (
    array,
    device_of,
    named_parameters,
    parameters,
    take,
)
from parity.frameworks.rllib.config import Port
from parity.frameworks.rllib.env_tap import tap_sub_environments
from parity.frameworks.rllib.eval_runner import make_env_runner
from parity.results.capture import Capture, Context, Correspondence, EnvContract, ModuleFacts, Resets, Step
from parity.task.masks import MASK_KEY, choices, is_empty, is_legal

# Enough for several ends per sub-environment where episodes are short; longer ones are waited for up to the second figure.
ENV_STEPS = 256
MOST_ENV_STEPS = 2_048
SUB_ENVIRONMENTS = 4
# On which a synchronised env runner is compared with the learner.
SYNCHRONISED_ROWS = 32


Weights = dict[str, dict[str, torch.Tensor]]
Initial = Callable[[Any], tuple[Weights, Correspondence]]


def roll_out(capture: Capture, port: Port, initial: Initial) -> PortRollout:
    """Opens a port and collects its numbers.

    Args:
        capture: to put them into.
        initial: given the learner, says which parameters to copy into which module before anything is computed, and how
            they were paired.
    """
    rollout, context = begin(capture, port), capture.context
    with rollout.part("build"):
        _build(rollout, initial)
    if rollout.learner is None:
        return rollout
    episodes: list[Any] = []
    with rollout.part("sample"):
        episodes = sample(rollout, rollout.runner.sample, lambda episode: episode.env_steps())
    if episodes:
        with rollout.part("batch"):
            batch_of(rollout, episodes)
    by_themselves(rollout)
    if rollout.batches:
        with rollout.part("update"):
            watched_update(capture, rollout.learner, rollout.batches)
            stress(capture, rollout.learner, rollout.batches)
        with rollout.part("synchronise"):
            _synchronise(rollout)
        if "update" not in context.raised:
            with rollout.part("update again"):
                between_updates(capture, rollout.learner, rollout.batches)
        for module_id in rollout.frozen():
            capture.step[module_id].last = parameters(rollout.module(module_id))
    return rollout


def begin(capture: Capture, port: Port) -> PortRollout:
    capture.contract.env_contract = EnvContract()
    capture.context.learning_module, capture.context.learning_agent = port.learning_module, str(port.learning_agent)
    return PortRollout(port, capture)


def by_themselves(rollout: PortRollout) -> None:
    """Runs the modules that are compared: on random observations, on the rollout, and with disturbed weights."""
    context = rollout.context
    for module_id in rollout.compared():
        if is_recurrent(rollout.module(module_id)) and module_id not in rollout.batches:
            continue  # it has no sequences, and what has stopped them is told
        # Also where the rollout has stopped: what the module does there may say why.
        with rollout.part(f"space {module_id}"):
            own, module = rollout.of(module_id), rollout.as_rows(module_id)
            behaviour.random_observations(own, module, rollout.shown(module_id))
    for module_id in rollout.modules:
        own, module, columns = rollout.of(module_id), rollout.as_rows(module_id), rollout.seen[module_id]
        with rollout.part(f"forward {module_id}"):
            behaviour.forward(own, module, columns, rollout.after.get(module_id))
        with rollout.part(f"sensitivity {module_id}"):
            behaviour.sensitivity(own, module, columns)
            registered = {id(p) for m in context.modules for p in named_parameters(rollout.module(m)).values()}
            own.facts.unregistered_tensors = behaviour.unregistered_tensors(module, registered, columns)


def _build(rollout: PortRollout, initial: Initial) -> None:
    config = rollout.port.config.copy(copy_frozen=False)
    rollout.capture.contract.env_check = checked_by_rllib(rollout.port)
    envs = min(SUB_ENVIRONMENTS, config.num_envs_per_env_runner)
    config.num_env_runners = 0
    config.num_learners = 0
    config.num_envs_per_env_runner = envs
    config.train_batch_size_per_learner = ENV_STEPS
    # At least two samples: whether each starts anew shows only then, and episodes are cut between them.
    # With four sub-environments a prime number of steps: episodes of one length would end with every sample otherwise.
    config.rollout_fragment_length = ENV_STEPS // (2 * envs) + 5
    # A function, as RLlib copies the configuration and all the objects in it.
    placing = [*force_list(config.callbacks_on_episode_start), lambda **event: rollout.place_episode(**event)]
    config.callbacks(on_episode_start=placing)
    rollout.runner = make_env_runner(config)
    tap_sub_environments(rollout.runner, rollout.read)
    learner = rollout.learner = config.build_learner(env=None, spaces=rollout.runner.get_spaces())
    rollout.context.modules = {
        str(module_id): _module_facts(rollout, module_id)
        for module_id in learner.module.keys()  # noqa: SIM118
    }
    note_beginning(rollout, initial, type(learner).__qualname__)
    rollout.runner.set_state(
        {COMPONENT_RL_MODULE: learner.get_state(components=COMPONENT_RL_MODULE)[COMPONENT_RL_MODULE]}
    )


def note_beginning(rollout: PortRollout, initial: Initial, learner: str) -> None:
    """Copies the weights to compare with into the learner's modules, and notes what was there before. ``learner``: its name."""
    contract, asked = rollout.capture.contract, rollout.port.config.policies_to_train
    contract.initial = parameters(rollout.module(rollout.port.learning_module))
    weights, rollout.context.correspondence = initial(rollout.learner)
    for module_id, values in weights.items():
        rollout.module(module_id).load_state_dict(values, strict=False)
    note_weights(rollout)
    if asked is not None and not callable(asked):
        contract.policies_to_train = sorted(map(str, asked))
    contract.learner = learner


def note_weights(rollout: PortRollout) -> None:
    """The parameters that every module starts with."""
    for module_id in rollout.context.modules:
        before = parameters(rollout.module(module_id))
        if rollout.context.modules[module_id].trained:
            rollout.of(module_id).fill_weights(before)
        else:
            rollout.capture.step[module_id] = Step(module=module_id, before=before)
        if module_id == rollout.port.learning_module:
            rollout.capture.contract.weights = before


def _synchronise(rollout: PortRollout) -> None:
    """Gives the learner's new weights to the env runner: logits of both."""
    state = rollout.learner.get_state(components=COMPONENT_RL_MODULE, inference_only=True)[COMPONENT_RL_MODULE]
    rollout.runner.set_state({COMPONENT_RL_MODULE: state})
    for module_id in rollout.modules:
        own = rollout.of(module_id)
        if not own.rows.has("valid") or module_id not in rollout.runner.module:
            continue
        shown = take(rollout.seen[module_id][Columns.OBS], np.flatnonzero(own.rows.valid)[:SYNCHRONISED_ROWS])
        logits = {}
        for name, module in (
            ("learner", rollout.as_rows(module_id)),
            ("env runner", rollout.as_rows(module_id, rollout.runner.module[module_id].unwrapped())),
        ):
            device = device_of(module)
            given = tree.map_structure(lambda leaf, device=device: leaf.detach().clone().to(device), shown)
            with torch.no_grad(), torch.random.fork_rng():
                torch.manual_seed(0)
                logits[name] = array(module.forward_exploration({Columns.OBS: given})[Columns.ACTION_DIST_INPUTS])
        own.update.synchronised = logits


def _module_facts(rollout: PortRollout, module_id: str) -> ModuleFacts:
    module = rollout.module(module_id)
    return ModuleFacts(
        class_name=type(module).__name__,
        runner_class=type(rollout.runner.module[module_id].unwrapped()).__name__,
        value_function_api=isinstance(module, ValueFunctionAPI),
        compute_values=behaviour.has_values(module),
        trained=bool(rollout.learner.should_module_be_updated(module_id)),
        parameters={name: list(p.shape) for name, p in named_parameters(module).items()},
        phases={phase: _computed_by(module, method) for phase, method in rollout.context.phases.items()},
        frozen=[name for name, p in named_parameters(module).items() if not p.requires_grad],
        batch_statistics=[
            name
            for name, part in _parts(module)
            if isinstance(part, torch.nn.modules.batchnorm._BatchNorm) and part.training and part.track_running_stats
        ],
        choices=choices_of(module.action_space),
        distribution_inputs=_distribution_inputs(rollout.context, module),
        mask_key=mask_key_of(rollout.port, module),
        mask_in_space=mask_key_of(rollout.port, module) in getattr(module.observation_space, "spaces", {}),
        no_distribution=behaviour.missing_distributions(module),
        recurrent=is_recurrent(module),
    )


def _computed_by(module: Any, method: str) -> str:
    """A phase's method, or ``_forward`` where the class leaves it to RLlib's own, which calls that."""
    owner = next((each for each in type(module).__mro__ if method in vars(each)), None)
    return "_forward" if owner in (RLModule, TorchRLModule) else method


def mask_key_of(port: Port, module: Any) -> str:
    return port.mask_key if port.mask_key in getattr(module.observation_space, "spaces", {}) else MASK_KEY


def _parts(module: Any) -> list[tuple[str, torch.nn.Module]]:
    return list(module.named_modules()) if isinstance(module, torch.nn.Module) else []


def _distribution_inputs(context: Context, module: Any) -> int | None:
    """How many numbers the module's own distribution class takes; None where it does not say."""
    try:
        distribution = behaviour.distribution_class(module, "train")
        return int(distribution.required_input_dim(space=module.action_space, model_config=module.model_config))
    except Exception as error:
        note(
            context, f"the action distribution of {type(module).__name__} does not say how many inputs it takes", error
        )
        return None


def choices_of(action_space: Any) -> list[int] | None:
    try:
        return choices(action_space)
    except CannotStart:
        return None


def sample(rollout: PortRollout, take: Callable[[], list[Any]], env_steps: Callable[[Any], int]) -> list[Any]:
    """One rollout as the algorithm would take it, until an episode has ended by itself. Returns its pieces.

    Args:
        take: samples some pieces, which are episodes on the new API stack.
        env_steps: of a piece.
    """
    recordings = rollout.recordings
    try:
        episodes = _sampled_until_an_end(rollout, take, env_steps)
    except Exception:
        rollout.context.refused = _illegal_moves(rollout)
        raise
    rollout.context.sub_environments = len(recordings)
    rollout.capture.contract.resets = Resets(
        seeds=[recording.seeds for recording in recordings],
        starts=[recording.starts for recording in recordings],
        shared_arrays=sorted(set().union(*(recording.shared_arrays for recording in recordings))),
    )
    return episodes


def _illegal_moves(rollout: PortRollout) -> dict[str, int]:
    """Agent -> how many of its actions the mask forbade that the environment had shown before."""
    illegal: Counter[str] = Counter()
    for recording in rollout.recordings:
        for (_, agent), moves in recording.moves.items():
            space = rollout.port.agents[agent][1] if agent in rollout.port.agents else None
            illegal[str(agent)] += sum(
                move.mask is not None and not is_empty(move.mask, space) and not is_legal(move.mask, move.action, space)
                for move in moves
                if space is not None
            )
    return {agent: times for agent, times in illegal.items() if times}


def _sampled_until_an_end(
    rollout: PortRollout, take: Callable[[], list[Any]], env_steps: Callable[[Any], int]
) -> list[Any]:
    episodes: list[Any] = []
    wanted = ENV_STEPS
    while True:
        while sum(map(env_steps, episodes)) < wanted:
            episodes += take()
        ended = any(
            move.terminated or move.truncated
            for recording in rollout.recordings
            for moves in recording.moves.values()
            for move in moves
        )
        if ended or wanted >= MOST_ENV_STEPS:
            return episodes
        wanted = MOST_ENV_STEPS
