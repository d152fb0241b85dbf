"""Configurations that say something else than the task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.callbacks.callbacks import RLlibCallback

from parity.frameworks.sb3 import build_model
from parity.selftest.good import CLERK, SORTER, ClerkModule, SorterModule, with_config, with_modules
from parity.selftest.register import bug
from parity.task import Task

Edit = Callable[[PPOConfig], PPOConfig]


def _config(name: str, what: str, edit: Edit, *caught_by: str) -> None:
    """Registers a bug that is a change of the configuration."""
    bug(what, *caught_by, name=name)(lambda good: with_config(good, edit))


def _settings(method: str, name: str, what: str, *caught_by: str, **settings: Any) -> None:
    """``method``: of PPOConfig."""
    _config(name, what, lambda config: getattr(config, method)(**settings), *caught_by)


_training = partial(_settings, "training")
_multi_agent = partial(_settings, "multi_agent")
_env_runners = partial(_settings, "env_runners")


def _default(name: str, what: str, *caught_by: str, fields: list[str]) -> None:
    """These fields are as PPOConfig has them by default."""
    stock = PPOConfig()
    _training(name, what, *caught_by, **{field: getattr(stock, field) for field in fields})


def _module_override(name: str, what: str, *caught_by: str, **settings: Any) -> None:
    own = {SORTER: PPOConfig.overrides(**settings)}
    _multi_agent(name, what, *caught_by, algorithm_config_overrides_per_module=own)


_default("learning-rate-default", "the learning rate is left at its default", "PAR010", fields=["lr"])
_default("gamma-default", "gamma is left at its default", "PAR010", fields=["gamma"])
_default("lambda-default", "lambda is left at its default, 1", "PAR010", fields=["lambda_"])
_default("clip-default", "the clip range is left at its default", "PAR010", fields=["clip_param"])
_default("epochs-default", "30 epochs, as by default", "PAR010", fields=["num_epochs"])
_default("minibatch-default", "the minibatch size is left at its default", "PAR010", fields=["minibatch_size"])
_training("batch-default", "the batch size is left at its default", "PAR010", train_batch_size_per_learner=4000)
_default(
    "value-clamp-default", "squared value errors are clamped at 10, as by default", "PAR011", fields=["vf_clip_param"]
)
_training(
    "value-clamp-of-the-clip-range",
    "SB3's clip range is given as vf_clip_param, which is another thing",
    "PAR011",
    vf_clip_param=0.2,
)
_default(
    "value-coefficient-default", "the value coefficient is left at its default", "PAR010", fields=["vf_loss_coeff"]
)
_default("kl-default", "the KL term is on, as by default", "PAR012", fields=["use_kl_loss", "kl_coeff"])
_training("gradient-clip-default", "gradients are not clipped, as by default", "PAR010", grad_clip=None)
_training("gradient-clip-by-value", "gradients are clipped by value", "PAR010", "PAR603", grad_clip_by="value")
_training("gradient-clip-by-norm", "gradients are clipped tensor by tensor", "PAR010", "PAR603", grad_clip_by="norm")
_default("entropy-default", "the entropy coefficient is left at 0", "PAR010", fields=["entropy_coeff"])
_training("entropy-sign", "the entropy coefficient has the wrong sign", "PAR010", entropy_coeff=-0.01)
_training(
    "learning-rate-schedule",
    "the learning rate follows a schedule that the task does not have",
    "PAR010",
    lr=[[0, 2e-3], [10_000, 0.0]],
)
_training("no-critic", "advantages come without a critic", "PAR502", use_critic=False)


_module_override(
    "gamma-of-the-module", "the module has a gamma of its own, which RLlib ignores", "PAR018", "PAR010", gamma=0.5
)
_module_override(
    "learning-rate-of-the-module", "the module has a learning rate of its own", "PAR010", "PAR701", lr=1e-5
)
_module_override("clip-of-the-module", "the module has a clip range of its own", "PAR010", clip_param=0.4)


@bug("complete_episodes with a seed: every sample starts the same episodes (D2)", "PAR014")
def complete_episodes_with_a_seed(good: Task) -> Task:
    return replace(
        good,
        ppo=replace(good.ppo, n_envs=1, n_steps=256),
        rllib_config=lambda config: config.env_runners(batch_mode="complete_episodes"),
    )


_config(
    "complete-episodes-with-several-environments",
    "complete_episodes with several environments: unfinished episodes are thrown away (D3)",
    lambda config: config.env_runners(batch_mode="complete_episodes").debugging(seed=None),
    "PAR016",
)
_multi_agent("policies-to-train-wrong", "policies_to_train names the other module", "PAR006", policies_to_train=[CLERK])
_multi_agent("policies-to-train-empty", "policies_to_train is empty", "PAR006", policies_to_train=[])


@bug("every second episode goes to another module, by policy_mapping_fn", "PAR006")
def mapping_by_episode(good: Task) -> Task:
    def mapped(agent_id: Any, episode: Any, **kwargs: Any) -> str:
        return "spare" if agent_id == SORTER and hash(episode.id_) % 2 else agent_id

    return with_config(good, lambda config: _three_modules(config).multi_agent(policy_mapping_fn=mapped))


@bug("the learning agent's decisions go to another module, by policy_mapping_fn", "PAR002", "PAR006")
def mapping_to_another_module(good: Task) -> Task:
    def mapped(agent_id: Any, *_: Any, **__: Any) -> str:
        return "spare" if agent_id == SORTER else agent_id

    return with_config(good, lambda config: _three_modules(config, Other).multi_agent(policy_mapping_fn=mapped))


class Other(SorterModule):
    """Of the same shape: a self-play opponent, or the module of an earlier version of the port."""


def _three_modules(config: PPOConfig, spare: type = SorterModule) -> PPOConfig:
    """A third module of the learning agent's shape."""
    classes = {SORTER: SorterModule, CLERK: ClerkModule, "spare": spare}
    edited = with_modules(config, classes, {SORTER: SORTER, CLERK: CLERK, "spare": SORTER})
    return edited.multi_agent(policies=set(classes), policies_to_train=[SORTER, "spare"])


_config(
    "module-spec-missing",
    "the spec's key is a typing error: RLlib falls back to its default module",
    lambda config: with_modules(config, {"sortre": SorterModule, CLERK: ClerkModule}),
    "PAR002",
    "PAR001",
)
_config(
    "module-replaced",
    "a later .rl_module() replaces the module by another one",
    lambda config: with_modules(config, {SORTER: Other, CLERK: ClerkModule}),
    "PAR002",
)
_config(
    "skip-nan-gradients",
    "torch_skip_nan_gradients, which lets NaN into the weights (D6)",
    lambda config: config.update_from_dict({"torch_skip_nan_gradients": True}),
    "PAR017",
)
_multi_agent(
    "agent-steps", "rollouts are counted in agent steps: half as long", "PAR021", "PAR010", count_steps_by="agent_steps"
)
_env_runners("exploration-off", "exploration is off: rollouts are greedy", "PAR303", "PAR010", "PAR307", explore=False)


@bug("a callback adds a bonus to every reward at the end of an episode", "PAR306")
class CallbackChangesRewards(RLlibCallback):
    def on_episode_step(self, *, episode: Any, **kwargs: Any) -> None:
        mine = episode.agent_episodes.get(SORTER)
        if mine is not None and len(mine.rewards):
            mine.rewards[-1] = mine.rewards[-1] + 0.1


_env_runners("short-fragments", "rollouts are cut into fragments of 16 steps", "PAR010", rollout_fragment_length=16)
_training("minibatches-in-order", "minibatches are never shuffled", "PAR010", shuffle_batch_per_epoch=False)


@bug("a callback cuts the episodes of each environment that is created", "PAR033")
class CallbackChangesEnvironments(RLlibCallback):
    def on_environment_created(self, *, env: Any, **kwargs: Any) -> None:
        for each in env.envs:
            each.unwrapped.env.lengths = (3, 4)


@bug("the SB3 model that is brought trains with another gamma than the port", "PAR010")
def gamma_of_the_brought_sb3_model(good: Task) -> Task:
    def model(env: Any, seed: int, device: str) -> Any:
        other = replace(good, ppo=replace(good.ppo, gamma=0.8))
        return build_model(other, env, seed, device)

    return replace(good, sb3_model=model)
