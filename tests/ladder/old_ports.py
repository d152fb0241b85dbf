"""A good port on RLlib's old API stack, ways of writing it that are good too, and mistakes that people make in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.models.torch.torch_modelv2 import TorchModelV2
from ray.rllib.policy.policy import PolicySpec
from torch import nn

from parity import PPOParams, Task
from parity.testing.toy_envs import Maze, Several

PPO = PPOParams(n_envs=2, n_steps=64, batch_size=32, n_epochs=2, learning_rate=1e-3)


class Lenient(Maze):
    """An illegal action scores nothing; every second episode is truncated. Rewards of up to 3."""

    def step(self, action: Any) -> Any:
        legal = bool(self.mask[action])
        observation, reward, over, _, info = super().step(action if legal else int(self.mask.argmax()))
        cut = over and self.length % 2 == 0
        return observation, 3 * reward * legal, over and not cut, cut, info


class Network(nn.Module):
    """SB3's: one hidden layer over the state."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.hidden = nn.Linear(3, 16)
        self.policy, self.value = nn.Linear(16, int(action_space.n)), nn.Linear(16, 1)

    def forward(self, obs: Any) -> Any:
        features = torch.tanh(self.hidden(obs["state"]))
        return self.policy(features), self.value(features).squeeze(-1)


class Model(TorchModelV2, nn.Module):
    """The port's: the same layers under names of its own, as models of the old stack are written."""

    def __init__(self, obs_space: Any, action_space: Any, num_outputs: int, model_config: Any, name: str) -> None:
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        self.fc, self.pi, self.vf = nn.Linear(3, 16), nn.Linear(16, num_outputs), nn.Linear(16, 1)

    def features(self, obs: Any) -> torch.Tensor:
        return torch.tanh(self.fc(obs["state"]))

    def masked(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return logits + torch.clamp(torch.log(mask.float()), min=torch.finfo(torch.float32).min)

    def value_of(self, features: torch.Tensor, obs: Any) -> torch.Tensor:
        return self.vf(features).squeeze(-1)

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        obs = input_dict["obs"]
        features = self.features(obs)
        self._value = self.value_of(features, obs)
        return self.masked(self.pi(features), obs["action_mask"]), state

    def value_function(self) -> torch.Tensor:
        return self._value


def port(**changes: Any) -> Task:
    fields = {"id": "old", "env": Lenient, "network": Network, "ppo": PPO, "steps": 256, "rllib_old_model": Model}
    return Task(**{**fields, **changes})


def edited(change: Callable[[PPOConfig], Any], **fields: Any) -> Task:
    return port(rllib_old_config=change, **fields)


class Filled(Model):
    def masked(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return logits.masked_fill(mask == 0, -1e9)


class NoMask(Model):
    def masked(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return logits


class Multiplied(Model):
    def masked(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return logits * mask


class Inverted(Model):
    def masked(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return logits.masked_fill(mask != 0, -1e9)


class DetachedValue(Model):
    def value_of(self, features: torch.Tensor, obs: Any) -> torch.Tensor:
        return self.vf(features.detach()).squeeze(-1)


class ValueTower(Model):
    """What ``vf_share_layers: False`` does, and SB3's network does not."""

    def __init__(self, *arguments: Any, **given: Any) -> None:
        super().__init__(*arguments, **given)
        self.vf_fc = nn.Linear(3, 16)

    def value_of(self, features: torch.Tensor, obs: Any) -> torch.Tensor:
        return self.vf(torch.tanh(self.vf_fc(obs["state"]))).squeeze(-1)


class Rectified(Model):
    def features(self, obs: Any) -> torch.Tensor:
        return torch.relu(self.fc(obs["state"]))


class Halved(Model):
    def features(self, obs: Any) -> torch.Tensor:
        return torch.tanh(self.fc(0.5 * obs["state"]))


class Dropped(Model):
    def features(self, obs: Any) -> torch.Tensor:
        return nn.functional.dropout(super().features(obs), 0.2, self.training)


class LastValue(Model):
    """Remembers a value of an earlier batch."""

    def value_function(self) -> torch.Tensor:
        return torch.zeros_like(self._value)


def without_model(config: PPOConfig) -> PPOConfig:
    return config.multi_agent(policies={name: PolicySpec(config={"lr": 1e-3}) for name in config.policies})


def other_policy(config: PPOConfig) -> PPOConfig:
    both = {**config.policies, "other": config.policies["agent"]}
    return config.multi_agent(
        policies=both, policy_mapping_fn=lambda agent, *_, **__: "agent", policies_to_train=["other"]
    )


def of_one_policy(config: PPOConfig) -> PPOConfig:
    spec: PolicySpec = config.policies["agent"]
    spec.config = {**spec.config, "gamma": 0.5}
    return config


MISTAKES: dict[str, tuple[Task, tuple[str, ...]]] = {
    "mask lost": (port(rllib_old_model=NoMask), ("PAR201",)),
    "mask multiplied": (port(rllib_old_model=Multiplied), ("PAR201", "PAR202")),
    "mask inverted": (port(rllib_old_model=Inverted), ("PAR201", "PAR202", "PAR302")),
    "default model": (edited(without_model, rllib_old_model=None), ("PAR122",)),
    "lambda left at its default": (edited(lambda config: config.training(lambda_=1.0)), ("PAR010",)),
    "another gamma": (edited(lambda config: config.training(gamma=0.9)), ("PAR010",)),
    "gamma of one policy": (edited(of_one_policy), ("PAR010",)),
    "filter": (edited(lambda config: config.env_runners(observation_filter="MeanStdFilter")), ("PAR120",)),
    "rewards clipped": (edited(lambda config: config.environment(clip_rewards=True)), ("PAR121",)),
    "squared error clamped": (edited(lambda config: config.training(vf_clip_param=0.01)), ("PAR011",)),
    "term of KL": (edited(lambda config: config.training(use_kl_loss=True, kl_coeff=0.2)), ("PAR012",)),
    "learning rate left at its default": (edited(lambda config: config.training(lr=5e-5)), ("PAR010",)),
    "gradient not clipped": (edited(lambda config: config.training(grad_clip=None)), ("PAR010",)),
    "epochs and minibatch left at their defaults": (
        edited(lambda config: config.training(num_epochs=30, minibatch_size=128)), ("PAR010",),
    ),
    "value cut from the trunk": (port(rllib_old_model=DetachedValue), ("PAR602", "PAR603")),
    "value tower of its own": (port(rllib_old_model=ValueTower), ("PAR026",)),
    "another activation": (port(rllib_old_model=Rectified), ("PAR101", "PAR109", "PAR111")),
    "observations scaled": (port(rllib_old_model=Halved), ("PAR101", "PAR109", "PAR111")),
    "dropout": (port(rllib_old_model=Dropped), ("PAR104", "PAR105")),
    "value function gives zeros": (port(rllib_old_model=LastValue), ("PAR102", "PAR602")),
    "another policy is trained": (edited(other_policy), ("PAR006",)),
    "actions at random": (
        edited(lambda config: config.env_runners(exploration_config={"type": "Random"})), ("PAR124",),
    ),
    "no exploration": (edited(lambda config: config.env_runners(explore=False)), ("PAR010",)),
}  # fmt: skip


def recurrent(config: PPOConfig) -> PPOConfig:
    settings = {"model": {"use_lstm": True, "lstm_cell_size": 4}}
    specs = {
        name: PolicySpec(None, spec.observation_space, spec.action_space, settings)
        for name, spec in config.policies.items()
    }
    return config.multi_agent(policies=specs)


class Raising(Model):
    def __init__(self, *arguments: Any, **given: Any) -> None:
        raise ZeroDivisionError("no layers")


def finished() -> PPOConfig:
    return (
        PPOConfig()
        .api_stack(enable_rl_module_and_learner=False, enable_env_runner_and_connector_v2=False)
        .framework("torch")
        .env_runners(num_env_runners=0, num_envs_per_env_runner=2)
        .training(
            train_batch_size=128, minibatch_size=32, num_epochs=2, lr=1e-3, gamma=0.99, lambda_=0.95, clip_param=0.2,
            vf_loss_coeff=0.5, vf_clip_param=float("inf"), use_kl_loss=False, grad_clip=0.5, model={"custom_model": Model},
        )
    )  # fmt: skip


def one_policy(config: PPOConfig) -> PPOConfig:
    return config.multi_agent(policies={"one"}, policy_mapping_fn=lambda agent, episode, worker, **kwargs: "one")


def as_multi_agent() -> Any:
    from parity.frameworks.rllib.env import make_multi_agent_env

    return make_multi_agent_env(port())


GOOD: dict[str, Task] = {
    "parity's reference port": port(rllib_old_model=None),
    "own model": port(),
    "mask filled in": port(rllib_old_model=Filled),
    "no preprocessors": edited(lambda config: config.experimental(_disable_preprocessor_api=True)),
    "finished configuration": port(rllib_old_model=None, rllib_old_config=finished(), multi_agent_env=as_multi_agent),
    "one policy for all": edited(one_policy),
    "complete episodes": edited(lambda config: config.env_runners(batch_mode="complete_episodes")),
    "defaults said": edited(
        lambda config: config.env_runners(
            observation_filter="NoFilter", exploration_config={"type": "StochasticSampling"}, explore=True
        )
    ),
    "env runners of its own": edited(lambda config: config.env_runners(num_env_runners=2, num_envs_per_env_runner=1)),
    "several sub-actions": port(
        rllib_old_model=None, env=lambda: Several(spaces.MultiDiscrete([2, 3])), network=Several.network
    ),
    "other hyperparameters": port(ppo=dataclasses.replace(PPO, gamma=0.9, gae_lambda=0.8, ent_coef=0.02, vf_coef=0.7)),
}


class NewModule(TorchRLModule, ValueFunctionAPI):
    """What `Model` becomes on the new stack."""

    def setup(self) -> None:
        self.fc, self.pi, self.vf = nn.Linear(3, 16), nn.Linear(16, int(self.action_space.n)), nn.Linear(16, 1)

    def features(self, obs: Any) -> torch.Tensor:
        return torch.tanh(self.fc(obs["state"]))

    def masked(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return logits + torch.clamp(torch.log(mask.float()), min=torch.finfo(torch.float32).min)

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        obs = batch["obs"]
        return {"action_dist_inputs": self.masked(self.pi(self.features(obs)), obs["action_mask"])}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(self.features(batch["obs"])).squeeze(-1)


class NewWithoutMask(NewModule):
    def masked(self, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return logits


class NewRectified(NewModule):
    def features(self, obs: Any) -> torch.Tensor:
        return torch.relu(self.fc(obs["state"]))


def moved(**changes: Any) -> Task:
    return port(**{"rllib_module": NewModule, **changes})


# In the move from one stack to the other.
MOVES: dict[str, tuple[Task, str]] = {
    "mask lost": (moved(rllib_module=NewWithoutMask), "PAR201"),
    "another activation": (moved(rllib_module=NewRectified), "PAR101"),
    "lambda dropped": (moved(rllib_config=lambda config: config.training(lambda_=1.0)), "PAR010"),
    "learning rate dropped": (moved(rllib_config=lambda config: config.training(lr=5e-5)), "PAR010"),
    "filter dropped": (
        moved(rllib_old_config=lambda config: config.env_runners(observation_filter="MeanStdFilter")), "PAR126",
    ),
    "term of KL dropped": (moved(rllib_old_config=lambda config: config.training(use_kl_loss=True, kl_coeff=0.3)), "PAR010"),
    "schedule made steeper": (
        moved(
            rllib_old_config=lambda config: config.training(lr_schedule=[[0, 1e-3], [256, 5e-4]]),
            rllib_config=lambda config: config.training(lr=[[0, 1e-3], [256, 0.0]]),
        ),
        "PAR010",
    ),
    "squared error clamped in the move": (moved(rllib_config=lambda config: config.training(vf_clip_param=0.5)), "PAR010"),
    "rewards clipped before": (
        moved(rllib_old_config=lambda config: config.environment(clip_rewards=True)), "PAR126",
    ),
}  # fmt: skip


def of_both(change: Callable[[PPOConfig], Any], **new: Any) -> Task:
    return moved(rllib_old_config=change, rllib_config=lambda config: config.training(**new))


# What SB3 has nothing like, and both stacks have.
ALIKE: dict[str, Task] = {
    "term of KL": of_both(
        lambda config: config.training(use_kl_loss=True, kl_coeff=0.3), use_kl_loss=True, kl_coeff=0.3
    ),
    "squared error clamped": of_both(lambda config: config.training(vf_clip_param=0.5), vf_clip_param=0.5),
    "schedules": of_both(
        lambda config: config.training(
            lr_schedule=[[0, 1e-3], [256, 1e-4]], entropy_coeff_schedule=[[0, 0.1], [256, 0.0]]
        ),
        lr=[[0, 1e-3], [256, 1e-4]],
        entropy_coeff=[[0, 0.1], [256, 0.0]],
    ),
}

LAMBDA_DROPPED = MOVES["lambda dropped"][0]
OLD_ALONE = port()
