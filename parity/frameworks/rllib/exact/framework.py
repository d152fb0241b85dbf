"""The framework ``rllib-exact``: a task's port with RLlib's remaining differences from MaskablePPO removed."""

from __future__ import annotations

import dataclasses
import math

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner

from parity.errors import CannotStart, NotSupported
from parity.frameworks import hyperparameters
from parity.frameworks.base import Untranslated
from parity.frameworks.rllib import Rllib
from parity.frameworks.rllib.config import Port, build_port
from parity.frameworks.rllib.exact.env_runner import ExactEnvRunner
from parity.frameworks.rllib.exact.learner import ExactOptions, ExactPPOLearner
from parity.frameworks.rllib.exact.returns import may_be_trained
from parity.frameworks.rllib.fast import FastEnvRunner, FastPPOLearner
from parity.frameworks.rllib.module import SharedNetworkModule
from parity.frameworks.rllib.versions import refuse_exact
from parity.task import Task


class RllibExact(Rllib):
    """The port of `Rllib` on `ExactPPOLearner` and `ExactEnvRunner`.

    Raises:
        NotSupported: the installed RLlib is older than what they build on.
    """

    name = "rllib-exact"
    variants = ()

    def __init__(self) -> None:
        refuse_exact()

    def port(self, task: Task, seed: int, device: str) -> Port:
        port = build_port(task, seed, device)
        return dataclasses.replace(port, config=make_exact(port.config, task)[0])

    def untranslated(self, task: Task) -> list[Untranslated]:
        return make_exact(build_port(task, seed=0, device="cpu").config, task)[1]


def make_exact(given: PPOConfig, task: Task) -> tuple[PPOConfig, list[Untranslated]]:
    """A copy of a port's configuration with the exact learner and env runner in place of RLlib's own.

    Its hyperparameters stay what they are; what MaskablePPO does not have is switched off and listed; the options that
    RLlib lacks come from ``task.ppo``, unless ``given.learner_config_dict`` holds them. An env runner class of the user's
    own stays (the update is then exact, the length of a rollout is not).

    Returns:
        The configuration, and what was switched off or could not be made exact.

    Raises:
        NotSupported: the configuration brings a learner class of its own.
        CannotStart: it brings a ``learner_config_dict`` for another one.
    """
    config = given.copy(copy_frozen=False)
    changes: list[Untranslated] = []
    _set_learner(config, task)
    _set_env_runner(config, changes)
    _switch_off(config, task, changes)
    _return_values_at_sampling(config)
    return config, changes


def _set_learner(config: PPOConfig, task: Task) -> None:
    theirs, stock = config.learner_class, (config.get_default_learner_class(), FastPPOLearner)
    if not issubclass(theirs, ExactPPOLearner):
        if theirs not in stock:
            raise NotSupported(
                f"Task {task.id}: rllib_config brings the learner {theirs.__name__}, and rllib-exact is a learner itself: "
                f"leave rllib-exact out of --frameworks, or derive {theirs.__name__} from "
                "parity.frameworks.rllib.exact.ExactPPOLearner."
            )
        config.learners(learner_class=ExactPPOLearner)
    _, _, options = hyperparameters.to_rllib_exact(task.ppo)
    # A new dict: PPOConfig.learners() would write into the one that the copy shares with the user's.
    config.learner_config_dict = options | dict(config.learner_config_dict or {})
    try:
        ExactOptions.from_config(config)
    except ValueError as error:
        raise CannotStart(f"Task {task.id}: rllib_config: {error}") from error


def _set_env_runner(config: PPOConfig, changes: list[Untranslated]) -> None:
    theirs = config.env_runner_cls
    is_stock = theirs in (None, MultiAgentEnvRunner, FastEnvRunner)
    if not is_stock and not issubclass(theirs, ExactEnvRunner):
        reason = f"the port's own {theirs.__name__} stays; its rollouts need not have SB3's length and order"
        changes.append(Untranslated("n_steps", hyperparameters.of_rllib(config)["n_steps"], reason))
        return
    config.env_runners(env_runner_cls=ExactEnvRunner if is_stock else theirs)
    # Converting every finished episode would be wasted: the learner makes the batch.
    config.episodes_to_numpy = False
    if config.batch_mode != "truncate_episodes":
        changes.append(Untranslated("batch_mode", config.batch_mode, 'SB3 cuts rollouts: "truncate_episodes" instead'))
        config.batch_mode = "truncate_episodes"
    if config.count_steps_by != "env_steps":
        changes.append(Untranslated("count_steps_by", config.count_steps_by, 'SB3 counts "env_steps"'))
        config.count_steps_by = "env_steps"


def _switch_off(config: PPOConfig, task: Task, changes: list[Untranslated]) -> None:
    if config.use_kl_loss:
        changes.append(Untranslated("kl_coeff", config.kl_coeff, "MaskablePPO's loss has no KL term: left out"))
        config.use_kl_loss = False
    if config.vf_clip_param is not None and not math.isinf(config.vf_clip_param):
        reason = "MaskablePPO does not bound the squared value error: left out"
        changes.append(Untranslated("vf_clip_param", config.vf_clip_param, reason))
    config.vf_clip_param = math.inf
    if config.grad_clip and config.grad_clip_by != "global_norm":
        reason = f"MaskablePPO clips by the global norm: {task.ppo.max_grad_norm:g} instead"
        changes.append(Untranslated("max_grad_norm", f"{config.grad_clip:g} by {config.grad_clip_by}", reason))
        config.grad_clip, config.grad_clip_by = task.ppo.max_grad_norm, "global_norm"


def _return_values_at_sampling(config: PPOConfig) -> None:
    """Makes parity's own modules return values at sampling, which saves the exact env runner a forward pass per step."""
    if not issubclass(config.env_runner_cls, ExactEnvRunner):
        return
    modules = config.rl_module_spec
    if not isinstance(modules, MultiRLModuleSpec) or not isinstance(modules.rl_module_specs, dict):
        return
    for module_id, spec in modules.rl_module_specs.items():
        if spec.module_class is SharedNetworkModule and may_be_trained(config, module_id):
            spec.model_config = {**spec.model_config, "vf_preds": True}
            config.rl_module(rl_module_spec=modules)
