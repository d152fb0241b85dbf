"""From a task to the ``PPOConfig`` of the old API stack, with the user's changes to it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.models.catalog import ModelCatalog
from ray.rllib.policy.policy import PolicySpec

from parity.errors import CannotStart
from parity.frameworks import hyperparameters
from parity.frameworks.rllib.config import AgentSpaces, Port, PortBuilder, played_by, reference_network
from parity.frameworks.rllib_old_stack.model import SharedNetworkModel, TorchMultiBinary
from parity.task import Task

_MULTI_BINARY = "parity-multibinary"


def old_form(task: Task) -> Task:
    """The task with what is brought for the old stack in the place of what is brought for the new one.

    A dict need not say that it is of the old stack: those of ray before 2.40 could not.
    """
    config = task.rllib_old_config
    if isinstance(config, dict):
        config = {"enable_rl_module_and_learner": False, "enable_env_runner_and_connector_v2": False, **config}
    return dataclasses.replace(task, rllib_config=config, rllib_module=task.rllib_old_model, other_modules={})


def build_port(task: Task, seed: int, device: str) -> Port:
    """The configuration for one trial.

    Raises:
        CannotStart: the port's environment, model or configuration cannot be used.
    """
    ModelCatalog.register_custom_action_dist(_MULTI_BINARY, TorchMultiBinary)
    with under_its_own_name():
        return _OldStackBuilder(old_form(task), seed, device).build()


@contextlib.contextmanager
def under_its_own_name() -> Iterator[None]:
    """Sentences of the code that both stacks share name the new one's fields."""
    try:
        yield
    except CannotStart as error:
        sentence = str(error).replace("rllib_config", "rllib_old_config").replace("rllib_module", "rllib_old_model")
        raise type(error)(sentence) from error


class _OldStackBuilder(PortBuilder):
    def checked(self, config: PPOConfig) -> PPOConfig:
        if config.enable_rl_module_and_learner or config.enable_env_runner_and_connector_v2:
            raise CannotStart(
                f"Task {self.task.id}: rllib_config is on RLlib's new API stack, and this is the framework rllib-old-stack: "
                "config.api_stack(enable_rl_module_and_learner=False, enable_env_runner_and_connector_v2=False), or give it as "
                "the task's field for the framework rllib."
            )
        if config.framework_str != "torch":
            raise CannotStart(
                f"Task {self.task.id}: rllib_config is for {config.framework_str}; parity compares PyTorch: "
                'config.framework("torch").'
            )
        return config

    def reference(self, agents: AgentSpaces, learner: str) -> PPOConfig:
        training, env_runners, _ = hyperparameters.to_rllib_old_stack(self.task.ppo)
        return (
            self.common(agents, learner, training, env_runners)
            .api_stack(enable_rl_module_and_learner=False, enable_env_runner_and_connector_v2=False)
            .resources(num_gpus=1 if self.device == "cuda" else 0)
            .multi_agent(policies={str(agent): self._policy(agent, agents, learner) for agent in agents})
            # A brought model is written for RLlib's preprocessors, which are on by default; parity's own has no use for them.
            .experimental(_disable_preprocessor_api=self.task.rllib_module is None)
        )

    def _policy(self, agent: str, agents: AgentSpaces, learner: str) -> PolicySpec:
        observation_space, action_space = agents[agent]
        if agent == learner and self.task.rllib_module is not None:
            model: dict[str, Any] = {"custom_model": self.task.rllib_module}
        else:
            network = reference_network(self.task, agent, agents, learner, self.seed)
            model = {"custom_model": SharedNetworkModel, "custom_model_config": network}
            if type(action_space).__name__ == "MultiBinary":
                model["custom_action_dist"] = _MULTI_BINARY
        return PolicySpec(
            observation_space=observation_space,
            action_space=action_space,
            config=PPOConfig.overrides(model=model),
        )

    def modules(self, config: PPOConfig) -> Any:
        return config.policies

    def with_modules(self, edited: PPOConfig, policies: Any, agents: AgentSpaces, learner: str) -> PPOConfig:
        specs = edited.policies if isinstance(edited.policies, dict) else {}
        own = {policy: spec for policy, spec in specs.items() if spec is not None and spec != PolicySpec()}
        of_parity = {policy: policies[agent] for policy, agent in played_by(edited, agents, learner).items()}
        return edited.multi_agent(policies=of_parity | own)
