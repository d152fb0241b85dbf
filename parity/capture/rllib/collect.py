"""Everything that the ladder compares of one RLlib port: the port's own numbers and SB3's on the same rollout."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner

from parity.capture.notes import note
from parity.capture.rllib.algorithm import through_algorithm
from parity.capture.rllib.behaviour import as_trained, drawn_for, far, outputs_of
from parity.capture.rllib.control import control
from parity.capture.rllib.pairing import paired
from parity.capture.rllib.rollout import Probe, probe
from parity.capture.rllib.view import same_tensors, view
from parity.capture.sb3 import sb3_reference as counterpart
from parity.capture.sb3.module_reference import beside, for_policy, observations, settings
from parity.capture.scaled_weights import factors, grown
from parity.frameworks import hyperparameters
from parity.frameworks.network import nested, sample_observations
from parity.frameworks.rllib import versions
from parity.frameworks.rllib.arrays import duplicate, flat
from parity.frameworks.rllib.config import Port
from parity.frameworks.rllib.module import unmasked_space
from parity.frameworks.sb3 import build_model, vec_env, with_own_hyperparameters
from parity.frameworks.sb3.policy import SharedNetworkPolicy
from parity.ladder.correspondence import Correspondence, correspond
from parity.results.capture import Numbers
from parity.task import PPOParams, Task
from parity.task.masks import MASK_KEY, choices

# Observations on which parameters of one shape are told apart.
TRIED_ROWS = 16


def collect(task: Task, port: Port, seed: int = 0, full: bool = False) -> Numbers:
    """The numbers of a port of ``task``, with SB3's weights in its learning module where parameters correspond.

    ``full``: those through ``Algorithm`` too.

    What raises is noted in ``facts["raised"]``; nothing is judged.
    """
    # A brought sb3_model may look at how many environments it is given; parity's own needs no more than one.
    env = vec_env(task, 1 if task.sb3_model is None else task.ppo.n_envs)
    model = build_model(task, env, seed, "cpu")
    task = with_own_hyperparameters(task, model)
    numbers = Numbers()
    found = probe(numbers, port, lambda learner: _weights(numbers, task, port, model.policy, learner))
    numbers.facts["ray"] = versions.facts()
    numbers.facts["config"] = {
        "port": hyperparameters.of_rllib(port.config),
        "task": dataclasses.asdict(task.ppo),
        "sb3": hyperparameters.of_sb3(model),
        "brought": task.sb3_model is not None,
        "schedules": {
            "sb3": hyperparameters.schedules_of_sb3(model),
            "port": hyperparameters.schedules_of_rllib(port.config, task.steps),
        },
        "optimizer": _optimizers(model.policy.optimizer, found.learner, port.learning_module),
        "normalizes": _normalizes(model.get_vec_normalize_env()),
        "rllib": _rllib_settings(port.config),
    }
    numbers.facts["declared"] = dict(task.declared)
    numbers.facts["asked_module"] = None if task.rllib_module is None else task.rllib_module.__name__
    if found.learner is not None:
        for module_id in found.compared():
            _sb3_side(found, task, module_id, model.policy)
    for module_id in found.modules:
        device = found.batches[module_id][Columns.ACTIONS].device
        if device.type != "cpu" and module_id in found.copies:
            with found.part(f"control {module_id}"):
                control(numbers, module_id, found.copies[module_id], device, found.seen[module_id])
    with found.part("view"):
        view(numbers, task, port, found.learner, found.checker, found.first_calls.calls)
    numbers.facts["conduct"] = found.checker.facts()
    if full and not numbers.facts["raised"]:
        with found.part("algorithm"):
            through_algorithm(found)
    env.close()
    return numbers


def _weights(
    numbers: Numbers, task: Task, port: Port, policy: Any, learner: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights for the learning module, and the correspondence as a fact."""
    module = learner.module[port.learning_module].unwrapped()
    ours = {name: tuple(p.shape) for name, p in policy.named_parameters()}
    theirs = {name: tuple(p.shape) for name, p in module.named_parameters()}
    found = correspond(ours, theirs, task.parameter_map)
    if found.ambiguous and _other_observations(policy.observation_space, module.observation_space) is None:
        try:
            found = _by_trial(policy, duplicate(module).cpu()) or found
        except Exception as error:
            # A module that cannot be run by itself.
            note(numbers, "parameters of one shape could not be told apart by trying", error)
    reason = found.reason or _other_observations(policy.observation_space, module.observation_space)
    found = Correspondence({} if reason else found.pairs, reason, other_network=found.other_network)
    parameters = dict(policy.named_parameters())
    weights = {other: parameters[name].detach() for name, other in found.pairs.items()}
    return {port.learning_module: weights} if weights else {}, dataclasses.asdict(found)


def _by_trial(policy: Any, module: Any) -> Correspondence | None:
    drawn = sample_observations(module.observation_space, TRIED_ROWS)
    drawn[MASK_KEY] = torch.ones_like(drawn[MASK_KEY])
    sizes = choices(module.action_space)
    seen = for_policy(flat(drawn), policy.observation_space)

    def normalised(outputs: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        logits, values = outputs
        return torch.cat([part.log_softmax(-1) for part in logits.split(sizes, -1)], -1), values.flatten()

    pairs = paired(
        policy,
        lambda: normalised(counterpart.outputs(policy, seen)),
        module,
        lambda trial: lambda: normalised(_ModuleAsNetwork(trial)(copy.deepcopy(drawn))),
    )
    return Correspondence(pairs) if pairs else None


def _other_observations(ours: spaces.Space, theirs: spaces.Space) -> str | None:
    if not isinstance(theirs, spaces.Dict) or MASK_KEY not in theirs.spaces:
        return "the module's observation space has no action_mask"
    if not same_tensors(unmasked_space(theirs), ours):
        return "the port observes something else than the single-agent environment shows"
    return None


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
    found: dict[str, None] = {}
    for group in optimizer.param_groups:
        settings = {key: group[key] for key in kept if group.get(key)}
        own = "Adam" if name == "AdamW" and "weight_decay" not in settings else name
        found[f"{own}({', '.join(f'{key}={value}' for key, value in settings.items())})"] = None
    return " and ".join(found)


def _normalizes(wrapper: Any) -> dict[str, bool]:
    """What SB3's ``VecNormalize`` does to what the policy learns from."""
    return {} if wrapper is None else {"observations": bool(wrapper.norm_obs), "rewards": bool(wrapper.norm_reward)}


def _rllib_settings(config: Any) -> dict[str, Any]:
    """What the contract rung reads of the configuration beside the hyperparameters."""
    return {
        "batch_mode": config.batch_mode,
        "seed": config.seed,
        "use_kl_loss": config.use_kl_loss,
        "vf_clip_param": str(config.vf_clip_param),
        "torch_skip_nan_gradients": config.torch_skip_nan_gradients,
        "count_steps_by": config.count_steps_by,
        "num_envs_per_env_runner": config.num_envs_per_env_runner,
        "num_env_runners": config.num_env_runners,
        "num_learners": config.num_learners,
        "episodes_to_numpy": getattr(config, "episodes_to_numpy", True),
        "env_runner": (config.env_runner_cls or MultiAgentEnvRunner).__name__,
        "explore": bool(config.explore),
        "shuffles": bool(config.shuffle_batch_per_epoch),
        "rollout_fragment_length": config.rollout_fragment_length,
        "torch_compile_learner": bool(config.torch_compile_learner),
        "what_to_compile": str(getattr(config.torch_compile_learner_what_to_compile, "value", "")),
        "overrides_per_module": {
            str(module_id): {"gamma": own.gamma, "gae_lambda": own.lambda_}
            for module_id in config.algorithm_config_overrides_per_module
            for own in [config.get_config_for_module(module_id)]
        },
    }


def _sb3_side(found: Probe, task: Task, module_id: str, sb3_policy: Any) -> None:
    numbers = found.numbers
    ppo = task.ppo
    with found.part(f"settings {module_id}"):
        ppo = _settings(task, found.learner, module_id)
    numbers.facts.setdefault("settings", {})[module_id] = dataclasses.asdict(ppo)
    direct = module_id == found.port.learning_module and bool(numbers.facts["correspondence"]["pairs"])
    numbers.facts.setdefault("sb3_policy", {})[module_id] = "sb3" if direct else "module"
    if direct and f"{module_id}/space/logits" in numbers:
        with found.part(f"sb3 space {module_id}"):
            drawn = observations(numbers, f"{module_id}/space/obs", sb3_policy.observation_space)
            counterpart.forward_space(numbers, module_id, sb3_policy, drawn)
    same_space = _other_observations(sb3_policy.observation_space, found.module(module_id).observation_space) is None
    if module_id == found.port.learning_module and module_id in found.copies and same_space:
        with found.part(f"sb3 space {module_id}"):
            _inputs(numbers, module_id, found.copies[module_id], sb3_policy)
    if module_id in found.copies and found.numbers.facts["modules"][module_id]["mask_in_space"]:
        with found.part(f"grown {module_id}"):
            _grown(found, module_id, sb3_policy if direct else None)
    if module_id in found.modules and module_id in found.after:
        with found.part(f"sb3 {module_id}"):
            policy = sb3_policy if direct else _policy_around(found.copies[module_id], ppo)
            adam_eps = _adam_eps(found.learner, module_id)
            beside(numbers, module_id, policy, found.after[module_id], ppo, adam_eps)


def _grown(found: Probe, module_id: str, policy: Any | None) -> None:
    """Both sides on the drawn observations with weights whose outputs are far apart; SB3's where parameters correspond."""
    numbers, module = found.numbers, found.copies[module_id]
    mask = torch.as_tensor(numbers[f"{module_id}/space/mask"]).bool()
    if policy is None:
        shown = drawn_for(numbers, module_id, module)
        far(numbers, module_id, module, factors(module, lambda: _centred(*outputs_of(module, shown), mask)))
        return
    seen = observations(numbers, f"{module_id}/space/obs", policy.observation_space)
    pairs = numbers.facts["correspondence"]["pairs"]
    found_factors = factors(policy, lambda: _centred(*counterpart.outputs(policy, seen), mask))
    by = {name: factor for name, factor in found_factors.items() if name in pairs}
    far(numbers, module_id, module, {pairs[name]: factor for name, factor in by.items()})
    with grown(policy, by):
        counterpart.forward_space(numbers, module_id, policy, seen, "grown")


def _centred(
    logits: torch.Tensor, values: torch.Tensor | None, mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor | None]:
    legal = torch.where(mask, logits, 0.0)
    return torch.where(mask, logits - legal.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True), 0.0), values


def _inputs(numbers: Numbers, module_id: str, module: Any, policy: Any) -> None:
    """``M/inputs/ENTRY``, float64 [2]: how far the outputs of the port and of SB3 move when drawn entries change places."""
    drawn = numbers.below(f"{module_id}/space/obs")
    network = _ModuleAsNetwork(module)
    for entry in [name for name in drawn if name != MASK_KEY]:
        moved = []
        for outputs in (
            lambda seen: network(nested({name: torch.as_tensor(part) for name, part in seen.items()})),
            lambda seen: counterpart.outputs(policy, for_policy(seen, policy.observation_space)),
        ):
            with torch.no_grad():
                before, after = outputs(dict(drawn)), outputs(drawn | {entry: np.roll(drawn[entry], 1, axis=0)})
            moved.append(max(float((b - a).abs().nan_to_num().max()) for a, b in zip(before, after, strict=True)))
        numbers.put(f"{module_id}/inputs", {entry: np.array(moved)})


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
    return settings(task.ppo, **own)


def _adam_eps(learner: Any, module_id: str) -> float:
    """Adam's epsilon as the port's optimiser has it."""
    _, optimizer = learner.get_optimizers_for_module(module_id)[0]
    return float(optimizer.defaults.get("eps", hyperparameters.TORCH_ADAM_EPS))


def _policy_around(module: Any, ppo: PPOParams) -> SharedNetworkPolicy:
    """SB3's policy with the port's own module as its network: everything but the forward pass is then comparable."""
    return SharedNetworkPolicy(
        module.observation_space,
        module.action_space,
        lambda _: ppo.learning_rate,
        network=lambda *_: _ModuleAsNetwork(module),
        network_seed=None,
        adam_eps=ppo.adam_eps,
    )


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
