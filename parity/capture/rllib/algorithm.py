"""Runs one iteration of ``train()`` through ``Algorithm``: a Ray, the port's own env runners and learners.

The in-process path (``rollout.py``) has one env runner and one learner in this process. Here every process that will train
holds the weights that the in-process path began with, computes what it computed there, samples, updates and is synchronised
again. A *replica* is a process's copy of a module: ``learner I`` or ``env runner I``.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import random
from typing import Any

import numpy as np
import torch
import tree
from ray.rllib.core.columns import Columns

from parity.capture.rllib.batch import connected
from parity.capture.rllib.behaviour import as_trained
from parity.capture.rllib.port_rollout import PortRollout
from parity.capture.rllib.repetition import first_difference, first_episode, same
from parity.capture.rllib.sequences import is_recurrent
from parity.capture.rllib.update import shortened
from parity.frameworks.rllib import callback_watch
from parity.frameworks.rllib.algorithm import (
    audit,
    bundles_of,
    mask_counts,
    raise_what_it_raises,
    stop,
    without_restarts,
)
from parity.frameworks.rllib.arrays import array, device_of, flat, parameters, take
from parity.frameworks.rllib.config import Port, make_env
from parity.frameworks.rllib.env_tap import Call
from parity.results.capture import AlgorithmRun, OtherEnvironment, Replica, ThroughAlgorithm
from parity.system.ray_session import connect
from parity.task.masks import MaskCounts
from parity.task.registry import loaded_folders

# Rows of the rollout that every replica is shown.
ROWS = 32
SEED = 0
# For callbacks that do something in one of the first iterations and not in the very first one.
FURTHER_ITERATIONS = 3

State = dict[str, dict[str, np.ndarray]]


def through_algorithm(rollout: PortRollout) -> None:
    """Adds the numbers of a port's ``Algorithm`` to the capture; needs Ray and starts it where there is none."""
    config = without_restarts(rollout.port.config)
    # Evaluation is another matter, and reporting intervals would repeat the iteration.
    config.evaluation_interval = None
    config.min_time_s_per_iteration = None
    config.min_sample_timesteps_per_iteration = config.min_train_timesteps_per_iteration = 0
    has_callbacks = callback_watch.has_own(config)
    if has_callbacks and rollout.port.config.evaluation_interval:
        config.evaluation_interval = 1
    connect(None, sum(bundle.get("CPU", 0.0) for bundle in bundles_of(config)), loaded_folders)
    watch = callback_watch.CallbackWatch()
    with watch.watching():
        algorithm = config.build_algo()
    run = rollout.capture.algorithm = AlgorithmRun(asked=int(algorithm.config.total_train_batch_size))
    run.callbacks = watch.changes
    for module_id in rollout.context.modules:
        run.modules[module_id] = ThroughAlgorithm(module=module_id)
        if module_id in rollout.capture.forward:
            run.modules[module_id].phase_logits = rollout.capture.forward[module_id].optional("logits")
    algorithm.env_runner_group.foreach_env_runner(raise_what_it_raises)
    run.environments = _other_environments(rollout, algorithm)
    algorithm.env_runner_group.foreach_env_runner(functools.partial(audit, key=rollout.port.mask_key))
    try:
        with watch.watching():
            _iteration(rollout, run, algorithm)
            for _ in range(FURTHER_ITERATIONS if has_callbacks else 0):
                algorithm.train()
        run.iterations = algorithm.iteration
    finally:
        # Also where an environment refused an action and raised: an illegal one is the reason.
        with contextlib.suppress(Exception):  # a process that died has nothing to tell: what it raised is told
            counts = algorithm.env_runner_group.foreach_env_runner(mask_counts, healthy_only=False)
            run.masks = dataclasses.asdict(sum(counts, start=MaskCounts()))
        stop(algorithm)
    run.env_runners, run.learners = config.num_env_runners, config.num_learners
    run.sub_environments = config.num_envs_per_env_runner * max(1, config.num_env_runners)


def _other_environments(rollout: PortRollout, algorithm: Any) -> dict[str, OtherEnvironment]:
    """Env runner -> where an environment of its own parts from that of the rollout."""
    view = rollout.capture.contract.view if rollout.capture.contract.has("view") else None
    if view is None or view.unrepeatable is not None or view.played_otherwise is not None:
        return {}  # one process does not repeat it either, as rung 0 says
    calls = rollout.first_calls.calls
    look = functools.partial(_plays_otherwise, calls=first_episode(calls) if view.reseeds else calls)
    seen = algorithm.env_runner_group.foreach_env_runner(look)
    return {name: OtherEnvironment(where=where, follows_seed=follows) for name, where, follows in filter(None, seen)}


def _iteration(rollout: PortRollout, run: AlgorithmRun, algorithm: Any) -> None:
    group, runners = algorithm.learner_group, algorithm.env_runner_group
    weights = {module_id: step.before for module_id, step in rollout.capture.step.items()}
    _of_learners(group, _load, weights=weights)
    runners.sync_weights(from_worker_or_learner_group=group, inference_only=True)
    _logits(rollout, run, algorithm)
    updates = _watch_update(group)
    algorithm.train()
    _compare_replicas(run, algorithm)
    if updates:
        run.sampled = sum(episode.env_steps() for episode in updates[0]["episodes"])
        _ended(run, group, updates[-1])
        _alone(run, rollout.port, runners.get_spaces(), updates[0], weights)


def _of_learners(group: Any, function: Any, **arguments: Any) -> list[Any]:
    """What ``function`` gives on each learner; an exception on one is raised here."""
    return [result.get() for result in group.foreach_learner(function, **arguments)]


def _logits(rollout: PortRollout, run: AlgorithmRun, algorithm: Any) -> None:
    """Every replica on the same observations, with the weights of the in-process path."""
    shown = {}
    for module_id in rollout.modules:
        rows = rollout.of(module_id).rows
        # Of a recurrent module these rows lie in sequences, which begin with states; its log-probs are compared below.
        if rows.has("valid") and not rollout.context.modules[module_id].recurrent:
            first = take(rollout.seen[module_id][Columns.OBS], np.flatnonzero(rows.valid)[:ROWS])
            shown[module_id] = tree.map_structure(array, first)
    replicas = [
        *_of_learners(algorithm.learner_group, _learner_logits, shown=shown),
        *algorithm.env_runner_group.foreach_env_runner(functools.partial(_runner_logits, shown=shown)),
    ]
    for name, logits in filter(None, replicas):
        for module_id, values in logits.items():
            run.modules[module_id].logits[name] = values


def _watch_update(group: Any) -> list[dict[str, Any]]:
    """Each update of the learner group from now on: its episodes, its arguments, the first learner's parameters after it.

    The number of minibatches is that of the in-process path (contract, rung 8).
    """
    updates: list[dict[str, Any]] = []
    update = group.update

    def watched(*positional: Any, **arguments: Any) -> Any:
        episodes = arguments.get("episodes")
        if episodes is None or "num_epochs" not in arguments:
            return update(*positional, **arguments)
        rows = sum(episode.agent_steps() for episode in episodes) // max(1, len(group))
        epochs, minibatch = shortened(rows, arguments["num_epochs"], arguments.get("minibatch_size"))
        arguments |= {"num_epochs": epochs, "minibatch_size": minibatch}
        # The learner's pipeline adds a timestep to the episodes that it is given.
        kept = {
            "episodes": copy.deepcopy(episodes),
            "arguments": {k: v for k, v in arguments.items() if k != "episodes"},
        }
        _of_learners(group, _seed)
        result = update(*positional, **arguments)
        learners = _of_learners(group, _learner_parameters)
        rates = _of_learners(group, _learning_rates)[0]
        updates.append(kept | {"through": learners[0], "rates": rates, "learners": len(group)})
        return result

    group.update = watched
    return updates


def _ended(run: AlgorithmRun, group: Any, update: dict[str, Any]) -> None:
    """Parameters and learning rates at the end of the iteration: callbacks come after its last update."""
    rates = _of_learners(group, _learning_rates)[0]
    for module_id, ended in _of_learners(group, _learner_parameters)[0].items():
        module = run.modules[module_id]
        module.updated, module.ended = update["through"][module_id], ended
        module.updated_rates, module.ended_rates = update["rates"].get(module_id), rates.get(module_id)


def _alone(run: AlgorithmRun, port: Port, spaces: Any, update: dict[str, Any], weights: State) -> None:
    """The algorithm's episodes in a learner of its own: log-probs of the actions, and the same update."""
    config = port.config.copy(copy_frozen=False)
    config.num_learners = 0

    def fresh_learner() -> Any:
        learner = config.build_learner(env=None, spaces=spaces)
        _load(learner, weights)
        return learner

    learner = fresh_learner()
    for module_id, columns in connected(learner, update["episodes"]).items():
        if learner.should_module_be_updated(module_id):
            _log_probabilities(run.modules[module_id], learner.module[module_id].unwrapped(), columns)
    if update["learners"] > 1:
        return
    # Another one: connectors may have a state, and the algorithm's have seen these episodes once.
    learner = fresh_learner()
    _seed(learner)
    learner.update(episodes=update["episodes"], **update["arguments"])
    for module_id, through in update["through"].items():
        run.modules[module_id].through = through
        run.modules[module_id].alone = parameters(learner.module[module_id].unwrapped())


def _log_probabilities(into: ThroughAlgorithm, module: Any, columns: dict[str, Any]) -> None:
    """Of the actions that were sampled, at sampling and by the module now; sequences of a recurrent one stay whole."""
    mask = columns.get(Columns.LOSS_MASK)
    whole = {name: each for name, each in columns.items() if isinstance(each, dict | torch.Tensor)}
    valid = np.ones(tuple(columns[Columns.ACTION_LOGP].shape), dtype=bool) if mask is None else array(mask).astype(bool)
    if is_recurrent(module):
        taken, kept = whole, valid
    else:
        taken = {name: take(each, np.flatnonzero(valid)) for name, each in whole.items()}
        kept = np.ones(int(valid.sum()), dtype=bool)
    with torch.no_grad():
        out = module.forward_train(copy.deepcopy(taken))
        distribution = module.get_train_action_dist_cls().from_logits(out[Columns.ACTION_DIST_INPUTS])
        trained = distribution.logp(taken[Columns.ACTIONS])
    into.sampled_log_prob = array(columns[Columns.ACTION_LOGP])[valid]
    into.trained_log_prob = array(trained)[kept]


def _compare_replicas(run: AlgorithmRun, algorithm: Any) -> None:
    """How far each replica's state is from the first learner's, entry by entry."""
    learners = _of_learners(algorithm.learner_group, _learner_states)
    reference = learners[0]
    replicas = {f"learner {i}": state["all"] for i, state in enumerate(learners)}
    for each in algorithm.env_runner_group.foreach_env_runner(_runner_state):
        if each:
            replicas[each[0]] = each[1]
    for replica, modules in replicas.items():
        for module_id, state in modules.items():
            # An env runner's module may do without what only training needs.
            wanted = reference["all" if replica.startswith("learner") else "inference"].get(module_id, {})
            names = [name for name in wanted if name in state and wanted[name].shape == state[name].shape]
            differences = [float(np.abs(state[n].astype(np.float64) - wanted[n]).max(initial=0.0)) for n in names]
            run.modules[module_id].replicas[replica] = Replica(
                names=names, missing=[name for name in wanted if name not in names], spread=np.array(differences)
            )


# What follows runs in the replicas' own processes.


def _plays_otherwise(runner: Any, calls: list[Call]) -> tuple[str, str, bool] | None:
    if not runner.worker_index or not calls:
        return None
    where = first_difference(make_env(runner.config, runner.worker_index), calls)
    if where is None:
        return None
    starts = []
    for seed in (calls[0].seed, (calls[0].seed or 0) + 1):
        env = make_env(runner.config, runner.worker_index)
        starts.append(copy.deepcopy(env.reset(seed=seed)[0]))
        env.close()
    return _runner_name(runner), where, not same(*starts)


def _load(learner: Any, weights: State) -> None:
    torch.set_num_threads(1)
    for module_id, values in weights.items():
        module = learner.module[module_id].unwrapped()
        module.load_state_dict({name: torch.as_tensor(value) for name, value in values.items()}, strict=False)


def _seed(learner: Any) -> None:
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)


def _modules(replica: Any) -> dict[str, Any]:
    return {str(m): replica.module[m].unwrapped() for m in replica.module.keys()}  # noqa: SIM118


def _learner_parameters(learner: Any) -> State:
    return {m: parameters(module) for m, module in _modules(learner).items()}


def _learning_rates(learner: Any) -> dict[str, list[float]]:
    return {
        m: [float(g["lr"]) for _, optimizer in learner.get_optimizers_for_module(m) for g in optimizer.param_groups]
        for m in _modules(learner)
        if learner.should_module_be_updated(m)
    }


def _learner_states(learner: Any) -> dict[str, State]:
    return {
        "all": {m: flat(module.get_state()) for m, module in _modules(learner).items()},
        "inference": {m: flat(module.get_state(inference_only=True)) for m, module in _modules(learner).items()},
    }


def _runner_name(runner: Any) -> str:
    return f"env runner {runner.worker_index}"


def _runner_state(runner: Any) -> tuple[str, State] | None:
    if runner.module is None:
        return None
    return _runner_name(runner), {m: flat(module.get_state()) for m, module in _modules(runner).items()}


def _logits_of(module: Any, forward: str, observations: Any) -> np.ndarray:
    device = device_of(module)
    given = tree.map_structure(lambda leaf: torch.as_tensor(np.array(leaf)).to(device), observations)
    with torch.no_grad():
        batch = as_trained(module, given) if forward == "forward_train" else {Columns.OBS: given}
        return array(getattr(module, forward)(batch)[Columns.ACTION_DIST_INPUTS])


def _learner_logits(learner: Any, shown: dict[str, Any]) -> tuple[str, dict[str, np.ndarray]]:
    name = f"learner {getattr(learner, '_learner_index', 0) or 0}"
    return name, {m: _logits_of(learner.module[m].unwrapped(), "forward_train", obs) for m, obs in shown.items()}


def _runner_logits(runner: Any, shown: dict[str, Any]) -> tuple[str, dict[str, np.ndarray]] | None:
    if runner.module is None:
        return None
    modules = {m: runner.module[m].unwrapped() for m in shown}
    return _runner_name(runner), {m: _logits_of(modules[m], "forward_inference", obs) for m, obs in shown.items()}
