"""Collects all that the ladder compares of one RLlib port: the port's own numbers and SB3's on the same rollout."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import tree
from ray.rllib.core.columns import Columns
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner

from parity.capture.checkpoint import Checkpoint
from parity.capture.first_difference import first_differences
from parity.capture.input_order import take_inputs_in_order
from parity.capture.module_capture import ModuleCapture
from parity.capture.raised import note
from parity.capture.rllib import later_samples
from parity.capture.rllib.algorithm import through_algorithm
from parity.capture.rllib.behaviour import (
    as_trained,
    on_drawn,
    outputs_of,
    random_observations_for,
    scaled_weights,
    unseen_observations_for,
)
from parity.capture.rllib.connectors import connectors_of
from parity.capture.rllib.control import control
from parity.capture.rllib.ignored_fields import ignored_fields
from parity.capture.rllib.pairing import other_observations, pair_parameters
from parity.capture.rllib.port_rollout import PortRollout
from parity.capture.rllib.rollout import Initial, roll_out
from parity.capture.rllib.sequences import is_recurrent
from parity.capture.rllib.view import view
from parity.capture.sb3 import sb3_reference
from parity.capture.sb3.sb3_reference import for_policy, policy_around
from parity.capture.scaled_weights import scale_factors, scaled
from parity.capture.unit_weights import nudged, unit_weights
from parity.frameworks import hyperparameters
from parity.frameworks.network import nested
from parity.frameworks.rllib import callback_watch, versions
from parity.frameworks.rllib.arrays import array, duplicate, take
from parity.frameworks.rllib.config import Port
from parity.frameworks.sb3 import build_model, vec_env, with_own_hyperparameters
from parity.results.capture import (
    Arrays,
    Capture,
    Configuration,
    Context,
    Correspondence,
    InstalledFormula,
    UnitWeights,
)
from parity.task import PPOParams, Task

# RLlib's methods that compute the phases.
PHASES = {"exploration": "_forward_exploration", "inference": "_forward_inference", "train": "_forward_train"}
# Settings without a counterpart in SB3, as they are.
SETTINGS = (
    "batch_mode", "seed", "use_kl_loss", "torch_skip_nan_gradients", "count_steps_by", "num_envs_per_env_runner",
    "num_env_runners", "num_learners", "rollout_fragment_length",
)  # fmt: skip
# Observed rows on which both networks get weights of order 1.
UNIT_ROWS = 64

RECURRENT = (
    "{} is recurrent, and sb3-contrib has no masked recurrent policy: its network is compared with none of SB3's; masks, "
    "rollout, returns, gradient and update are compared with what SB3's buffer and loss make of the same module"
)


def collect(
    task: Task,
    port: Port,
    seed: int = 0,
    full: bool = False,
    checkpoint: Checkpoint | None = None,
    roll_out: Callable[[Capture, Port, Initial], PortRollout] = roll_out,
    add_reference: Callable[..., None] = sb3_reference.add_reference,
    other_side: str = "SB3",
) -> Capture:
    """The numbers of a port of ``task``, with SB3's weights in its learning module where parameters correspond.

    What raises is noted in `Context.raised`; nothing is judged. ``full``: also through ``Algorithm``. ``checkpoint``: weights
    in the place of initial ones. ``roll_out``: opens the port and collects its own numbers;
    ``add_reference``: computes the other side's returns and updates. ``other_side``: who that is, in sentences.
    """
    checkpoint = checkpoint or Checkpoint()
    # A brought sb3_model may look at how many environments it is given; parity's own needs no more than one.
    env = vec_env(task, 1 if task.sb3_model is None else task.ppo.n_envs)
    model = build_model(task, env, seed, "cpu")
    checkpoint.into_sb3(model.policy)
    task = with_own_hyperparameters(task, model)
    capture = Capture()
    context = capture.context
    context.phases, context.other_side = dict(PHASES), other_side
    context.declared = dict(task.declared)
    rollout = roll_out(capture, port, lambda learner: _weights(context, task, port, model.policy, learner, checkpoint))
    if (checkpoint.sb3 or checkpoint.port) and capture.contract.has("initial", "weights"):
        capture.contract.initial = capture.contract.weights  # how what was trained began is over
    capture.contract.connectors = connectors_of(context, port)
    capture.installed_formula = InstalledFormula(**versions.facts())
    context.configuration = _configuration(task, port, model, rollout.learner)
    if task.rllib_module is not None:
        capture.contract.asked_module = task.rllib_module.__name__
    if rollout.learner is not None:
        for module_id in rollout.compared():
            _sb3_side(rollout, task, module_id, model.policy, add_reference)
    for module_id in rollout.modules:
        device = rollout.batches[module_id][Columns.ACTIONS].device
        if device.type != "cpu" and module_id in rollout.copies and not context.modules[module_id].recurrent:
            with rollout.part(f"control {module_id}"):
                control(rollout.of(module_id), rollout.copies[module_id], device, rollout.seen[module_id])
    with rollout.part("view"):
        view(capture, task, port, rollout.learner, rollout.first_calls.calls)
    if not full and callback_watch.has_own(port.config):
        context.notes.append("what its callbacks change between iterations is seen by `parity check --full` alone")
    if full and not context.raised:
        with rollout.part("algorithm"):
            through_algorithm(rollout)
        seen = capture.contract.view
        repeats = not (seen.reseeds or seen.unrepeatable or seen.played_otherwise)
        if repeats and later_samples.has_own(port.config):
            with rollout.part("sample"):
                capture.contract.later = later_samples.later_samples(port)
    env.close()
    return capture


def _configuration(task: Task, port: Port, model: Any, learner: Any) -> Configuration:
    return Configuration(
        port=hyperparameters.of_rllib(port.config),
        task=dataclasses.asdict(task.ppo),
        sb3=hyperparameters.of_sb3(model),
        schedules={
            "sb3": hyperparameters.schedules_of_sb3(model),
            "port": hyperparameters.schedules_of_rllib(port.config, task.steps),
        },
        optimizer=_optimizers(model.policy.optimizer, learner, port.learning_module),
        normalizes=_normalizes(model.get_vec_normalize_env()),
        native=rllib_settings(port.config),
        ignored=ignored_fields(port.config),
    )


def _weights(
    context: Context, task: Task, port: Port, policy: Any, learner: Any, checkpoint: Checkpoint
) -> tuple[dict[str, Any], Correspondence]:
    """Weights for the learning module, and how its parameters correspond to SB3's."""
    module = learner.module[port.learning_module].unwrapped()
    modules = {module_id: learner.module[module_id].unwrapped() for module_id in learner.module.keys()}  # noqa: SIM118
    stored = checkpoint.of_port(port.learning_module, modules)
    if is_recurrent(module):
        return stored, Correspondence(reason=RECURRENT.format(type(module).__name__))
    correspondence = pair_parameters(context, task, policy, module, port.mask_key)
    take_inputs_in_order(policy, correspondence.columns)
    parameters = dict(policy.named_parameters())
    if stored:
        # SB3's network gets the port's weights, where it is the other way round by default.
        with torch.no_grad():
            for name, other in correspondence.pairs.items():
                parameters[name].copy_(stored[port.learning_module][other])
        return stored, correspondence
    weights = {other: parameters[name].detach() for name, other in correspondence.pairs.items()}
    return {port.learning_module: weights} if weights else {}, correspondence


def _optimizers(sb3: Any, learner: Any, module_id: str) -> dict[str, str]:
    """What steps each side's parameters, in words; Adam's epsilon and the learning rate are hyperparameters of their own."""
    kept = ("betas", "weight_decay", "amsgrad", "momentum", "alpha", "maximize")
    sides = {"sb3": [sb3]}
    if learner is not None and module_id in learner.module:
        sides["port"] = [optimizer for _, optimizer in learner.get_optimizers_for_module(module_id)]
    return {side: ", ".join(sorted({_in_words(each, kept) for each in each_side})) for side, each_side in sides.items()}


def _in_words(optimizer: Any, kept: tuple[str, ...]) -> str:
    """PyTorch's class that it is one of; AdamW without decay is Adam."""
    classes = [each for each in type(optimizer).__mro__ if each.__module__.startswith("torch.optim")]
    name = classes[0].__name__ if classes and classes[0] is not torch.optim.Optimizer else type(optimizer).__name__
    kinds: dict[str, None] = {}
    for group in optimizer.param_groups:
        settings = {key: group[key] for key in kept if group.get(key)}
        own = "Adam" if name == "AdamW" and "weight_decay" not in settings else name
        kinds[f"{own}({', '.join(f'{key}={value}' for key, value in settings.items())})"] = None
    return " and ".join(kinds)


def _normalizes(wrapper: Any) -> dict[str, bool]:
    """What SB3's ``VecNormalize`` does to what the policy learns from."""
    return {} if wrapper is None else {"observations": bool(wrapper.norm_obs), "rewards": bool(wrapper.norm_reward)}


def rllib_settings(config: Any) -> dict[str, Any]:
    """Settings without a counterpart in SB3 that the contract rung reads."""
    return {
        **{name: getattr(config, name) for name in SETTINGS},
        "vf_clip_param": str(config.vf_clip_param),
        "episodes_to_numpy": getattr(config, "episodes_to_numpy", True),
        "env_runner": (config.env_runner_cls or MultiAgentEnvRunner).__name__,
        "explore": bool(config.explore),
        "shuffles": bool(config.shuffle_batch_per_epoch),
        "torch_compile_learner": bool(config.torch_compile_learner),
        "what_to_compile": str(getattr(config.torch_compile_learner_what_to_compile, "value", "")),
        "overrides_per_module": {
            str(module_id): {"gamma": own.gamma, "gae_lambda": own.lambda_}
            for module_id in config.algorithm_config_overrides_per_module
            for own in [config.get_config_for_module(module_id)]
        },
    }


def _sb3_side(
    rollout: PortRollout, task: Task, module_id: str, sb3_policy: Any, add_reference: Callable[..., None]
) -> None:
    """SB3's half of the comparison: by its own policy where parameters correspond, else by one around the module."""
    own, context = rollout.of(module_id), rollout.context
    ppo = task.ppo
    with rollout.part(f"settings {module_id}"):
        ppo = _settings(task, rollout.learner, module_id)
    own.facts.settings = dataclasses.asdict(ppo)
    is_learning, copied = module_id == rollout.port.learning_module, rollout.copies.get(module_id)
    pairs = context.correspondence.pairs if context.correspondence is not None else {}
    direct = is_learning and bool(pairs)
    own.facts.reference = "sb3" if direct else "module"
    random, space = own.forward.optional("random"), sb3_policy.observation_space
    if direct and random is not None:
        with rollout.part(f"sb3 space {module_id}"):
            sb3_reference.add_random_reference(random, sb3_policy, for_policy(random.observations, space))
    if direct and copied is not None:
        _unseen(rollout, own, copied, sb3_policy)
    same_space = other_observations(space, rollout.module(module_id).observation_space, own.facts.mask_key) is None
    if is_learning and copied is not None and random is not None and same_space:
        with rollout.part(f"sb3 space {module_id}"):
            own.forward.inputs = _inputs(random.observations, copied, sb3_policy, own.facts.mask_key)
    if copied is not None and own.facts.mask_in_space:
        with rollout.part(f"scaled weights {module_id}"):
            _scaled_weights(own, copied, sb3_policy if direct else None, pairs, rollout.shown(module_id))
    connected = rollout.connected.get(module_id)
    if direct and connected is not None and (_fits(own.rows.observations, space) or not _fits(connected, space)):
        connected = None
    if copied is not None and direct and own.rows.has("observations"):
        shown = own.rows.observations if connected is None else connected
        with rollout.part(f"unit weights {module_id}"):
            networks = duplicate(copied), copy.deepcopy(sb3_policy)
            _unit_weights(own, *networks, pairs, rollout.seen[module_id], shown, context.other_side)
    if copied is not None and module_id in rollout.after:
        with rollout.part(f"sb3 {module_id}"):
            observed = copied.sequences.space() if own.facts.recurrent else copied.observation_space
            spaces_of_module = observed, copied.action_space
            policy = sb3_policy if direct else policy_around(_ModuleAsNetwork(copied), spaces_of_module, ppo)
            adam_eps = _adam_eps(rollout.learner, module_id)
            add_reference(
                own,
                policy,
                rollout.after[module_id],
                ppo,
                adam_eps,
                connected,
                pairs if direct else None,
            )


def _fits(observations: Arrays, space: Any) -> bool:
    """Whether SB3's network can take them: connectors may make of the environment's what it shows SB3, or something else."""
    try:
        for_policy({name: part[:1] for name, part in observations.items()}, space)
    except (KeyError, ValueError, RuntimeError):
        return False
    return True


def _unseen(rollout: PortRollout, own: ModuleCapture, module: Any, policy: Any) -> None:
    """Both sides where entries vary that were constant in the rollout: one that is left out shows nowhere else."""
    try:
        observations = unseen_observations_for(own, module, rollout.shown(own.module))
        if observations is None:
            return
        unseen = on_drawn(own, module, observations)
        sb3_reference.add_random_reference(unseen, policy, for_policy(unseen.observations, policy.observation_space))
    except Exception as error:
        # Values that the environment does not show may be none that the networks take: nobody is accused.
        note(
            rollout.context, "what was constant in the rollout could not be varied to compare the networks there", error
        )
        return
    own.forward.unseen = unseen


def _scaled_weights(own: ModuleCapture, module: Any, policy: Any | None, pairs: dict[str, str], shown: Any) -> None:
    """Both sides on random observations with scaled weights; SB3's where parameters correspond (``policy`` is not None).

    ``shown``: what the environment showed the module.
    """
    random = own.forward.random
    mask = torch.as_tensor(random.mask).bool()
    if policy is None:
        given = random_observations_for(own, module, shown)
        factors = scale_factors(module, lambda: _centred(*outputs_of(module, given), mask))
        scaled_weights(own, module, factors, shown)
        return
    seen = for_policy(random.observations, policy.observation_space)
    factors = scale_factors(policy, lambda: _centred(*sb3_reference.outputs(policy, seen), mask))
    factors = {name: factor for name, factor in factors.items() if name in pairs}
    into = scaled_weights(own, module, {pairs[name]: factor for name, factor in factors.items()}, shown)
    with scaled(policy, factors):
        sb3_reference.add_random_reference(into, policy, seen)


def _unit_weights(
    own: ModuleCapture,
    module: Any,
    policy: Any,
    pairs: dict[str, str],
    seen: dict[str, Any],
    observations: Arrays,
    other_side: str,
) -> None:
    """Both sides on observed rows, their weights such that initial ones hide nothing; ``module`` and ``policy`` are changed.

    ``observations``: of the decisions, as SB3's policy takes them.
    """
    rows = own.rows
    some = np.linspace(0, len(rows.action) - 1, min(UNIT_ROWS, len(rows.action))).astype(np.int64)
    shown = for_policy({name: part[some] for name, part in observations.items()}, policy.observation_space)
    given = tree.map_structure(lambda leaf: leaf.cpu(), take(seen[Columns.OBS], np.flatnonzero(rows.valid)[some]))

    def ours() -> tuple[torch.Tensor, torch.Tensor]:
        return sb3_reference.outputs(policy, shown)

    def theirs(taken: Any = given) -> tuple[torch.Tensor, torch.Tensor | None]:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return outputs_of(module, taken)

    def centred(logits: torch.Tensor, values: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """SB3 normalises logits within each sub-action, others don't; a distribution of one's own may take other inputs."""
        sizes = own.facts.choices or []
        parts = logits.split(sizes if sum(sizes) == logits.shape[-1] else [logits.shape[-1]], -1)
        return torch.cat([part - part.mean(-1, keepdim=True) for part in parts], -1), values

    def traced(run: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: centred(*run())

    weights = unit_weights(policy, ours, tied=False)
    module.load_state_dict({other: weights[name] for name, other in pairs.items()}, strict=False)
    with torch.no_grad():
        (logits, values), (sb3_logits, sb3_values) = theirs(), ours()
    unit = own.forward.unit = UnitWeights(
        module=own.module,
        mask=rows.mask[some] if rows.has("mask") else np.ones(logits.shape, dtype=bool),
        logits=array(logits),
        sb3_logits=array(sb3_logits),
        sb3_values=array(sb3_values.flatten()),
        begins=first_differences(
            policy,
            traced(ours),
            module,
            traced(lambda: theirs(_all_legal(given, own.facts.mask_key))),
            pairs,
            other_side,
        ),
    )
    if values is not None:
        unit.values = array(values)
    policy.load_state_dict(nudged(weights), strict=False)
    with torch.no_grad():
        moved = [float((a - b).abs().max()) for a, b in zip(ours(), (sb3_logits, sb3_values), strict=True)]
    unit.noise = dict(zip(("logits", "values"), moved, strict=True))


def _all_legal(observations: Any, mask_key: str) -> Any:
    if not isinstance(observations, dict) or mask_key not in observations:
        return observations
    return {**observations, mask_key: torch.ones_like(observations[mask_key])}


def _centred(
    logits: torch.Tensor, values: torch.Tensor | None, mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor | None]:
    legal = torch.where(mask, logits, 0.0)
    return torch.where(mask, logits - legal.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True), 0.0), values


def _inputs(observations: Arrays, module: Any, policy: Any, mask_key: str) -> Arrays:
    """How far the outputs of the port and of SB3 move when random values of an entry change places: entry -> float64 [2]."""
    network = _ModuleAsNetwork(module)
    moved = {}
    for entry in [name for name in observations if name != mask_key]:
        of_sides = []
        for outputs in (
            lambda seen: network(
                nested({name: torch.as_tensor(part) for name, part in seen.items()}, module.observation_space)
            ),
            lambda seen: sb3_reference.outputs(policy, for_policy(seen, policy.observation_space)),
        ):
            with torch.no_grad():
                before = outputs(dict(observations))
                after = outputs(observations | {entry: np.roll(observations[entry], 1, axis=0)})
            changes = [float((b - a).abs().nan_to_num().max()) for a, b in zip(before, after, strict=True)]
            of_sides.append(max(changes))
        moved[entry] = np.array(of_sides)
    return moved


def _settings(task: Task, learner: Any, module_id: str) -> PPOParams:
    """The task's hyperparameters with the module's own where RLlib has them: the contract rung judges those that differ."""
    config = learner.config.get_config_for_module(module_id)
    own = {
        name: value
        for name, value in hyperparameters.of_rllib(config).items()
        if name in dataclasses.asdict(task.ppo)
        and name not in hyperparameters.NOT_IN_RLLIB
        and isinstance(value, int | float)
    }
    if config.grad_clip is None:
        own["max_grad_norm"] = 1e30
    return sb3_reference.settings(task.ppo, **own)


def _adam_eps(learner: Any, module_id: str) -> float:
    """Adam's epsilon as the port's optimiser has it."""
    _, optimizer = learner.get_optimizers_for_module(module_id)[0]
    return float(optimizer.defaults.get("eps", hyperparameters.TORCH_ADAM_EPS))


class _ModuleAsNetwork(torch.nn.Module):
    """An RLModule as a network of the contract; its logits come masked, which SB3's masking leaves as they are."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, obs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        given = as_trained(self.module, obs)
        out = self.module.forward_train(given)
        values = self.module.compute_values(given, embeddings=out.get(Columns.EMBEDDINGS))
        return out[Columns.ACTION_DIST_INPUTS], values
