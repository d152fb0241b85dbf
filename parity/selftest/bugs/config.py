"""Configurations that say something else than the task."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from parity.frameworks.sb3 import build_model
from parity.selftest.good import CLERK, SORTER, ClerkModule, SorterModule, SortingTogether
from parity.selftest.register import bug
from parity.task import Task


def _edited(good: Task, edit: Callable[[PPOConfig], PPOConfig]) -> Task:
    return dataclasses.replace(good, rllib_config=edit)


def _default(good: Task, *fields: str) -> Task:
    """These fields as PPOConfig has them by default."""
    stock = PPOConfig()
    return _edited(good, lambda config: config.training(**{field: getattr(stock, field) for field in fields}))


@bug("the learning rate is left at its default", "PAR010")
def learning_rate_default(good: Task) -> Task:
    return _default(good, "lr")


@bug("gamma is left at its default", "PAR010")
def gamma_default(good: Task) -> Task:
    return _default(good, "gamma")


@bug("lambda is left at its default, 1", "PAR010")
def lambda_default(good: Task) -> Task:
    return _default(good, "lambda_")


@bug("the clip range is left at its default", "PAR010")
def clip_default(good: Task) -> Task:
    return _default(good, "clip_param")


@bug("30 epochs, as by default", "PAR010")
def epochs_default(good: Task) -> Task:
    return _default(good, "num_epochs")


@bug("the minibatch size is left at its default", "PAR010")
def minibatch_default(good: Task) -> Task:
    return _default(good, "minibatch_size")


@bug("the batch size is left at its default", "PAR010")
def batch_default(good: Task) -> Task:
    return _edited(good, lambda config: config.training(train_batch_size_per_learner=4000))


@bug("squared value errors are clamped at 10, as by default", "PAR011")
def value_clamp_default(good: Task) -> Task:
    return _default(good, "vf_clip_param")


@bug("SB3's clip range is given as vf_clip_param, which is another thing", "PAR011")
def value_clamp_of_the_clip_range(good: Task) -> Task:
    return _edited(good, lambda config: config.training(vf_clip_param=0.2))


@bug("the value coefficient is left at its default", "PAR010")
def value_coefficient_default(good: Task) -> Task:
    return _default(good, "vf_loss_coeff")


@bug("the KL term is on, as by default", "PAR012")
def kl_default(good: Task) -> Task:
    return _default(good, "use_kl_loss", "kl_coeff")


@bug("gradients are not clipped, as by default", "PAR010")
def gradient_clip_default(good: Task) -> Task:
    return _edited(good, lambda config: config.training(grad_clip=None))


@bug("gradients are clipped by value", "PAR010", "PAR603")
def gradient_clip_by_value(good: Task) -> Task:
    return _edited(good, lambda config: config.training(grad_clip_by="value"))


@bug("gradients are clipped tensor by tensor", "PAR010", "PAR603")
def gradient_clip_by_norm(good: Task) -> Task:
    return _edited(good, lambda config: config.training(grad_clip_by="norm"))


@bug("the entropy coefficient is left at 0", "PAR010")
def entropy_default(good: Task) -> Task:
    return _default(good, "entropy_coeff")


@bug("the entropy coefficient has the wrong sign", "PAR010")
def entropy_sign(good: Task) -> Task:
    return _edited(good, lambda config: config.training(entropy_coeff=-0.01))


@bug("the learning rate follows a schedule that the task does not have", "PAR010")
def learning_rate_schedule(good: Task) -> Task:
    return _edited(good, lambda config: config.training(lr=[[0, 2e-3], [10_000, 0.0]]))


@bug("advantages come without a critic", "PAR502")
def no_critic(good: Task) -> Task:
    return _edited(good, lambda config: config.training(use_critic=False))


@bug("the module has a gamma of its own, which RLlib ignores", "PAR018", "PAR010")
def gamma_of_the_module(good: Task) -> Task:
    own = PPOConfig.overrides(gamma=0.5)
    return _edited(good, lambda c: c.multi_agent(algorithm_config_overrides_per_module={SORTER: own}))


@bug("the module has a learning rate of its own", "PAR010", "PAR701")
def learning_rate_of_the_module(good: Task) -> Task:
    own = PPOConfig.overrides(lr=1e-5)
    return _edited(good, lambda c: c.multi_agent(algorithm_config_overrides_per_module={SORTER: own}))


@bug("the module has a clip range of its own", "PAR010")
def clip_of_the_module(good: Task) -> Task:
    own = PPOConfig.overrides(clip_param=0.4)
    return _edited(good, lambda c: c.multi_agent(algorithm_config_overrides_per_module={SORTER: own}))


@bug("complete_episodes with a seed: every sample starts the same episodes (D2)", "PAR014")
def complete_episodes_with_a_seed(good: Task) -> Task:
    return dataclasses.replace(
        good,
        ppo=dataclasses.replace(good.ppo, n_envs=1, n_steps=256),
        rllib_config=lambda config: config.env_runners(batch_mode="complete_episodes"),
    )


@bug("complete_episodes with several environments: unfinished episodes are thrown away (D3)", "PAR016")
def complete_episodes_with_several_environments(good: Task) -> Task:
    return _edited(good, lambda config: config.env_runners(batch_mode="complete_episodes").debugging(seed=None))


@bug("policies_to_train names the other module", "PAR006")
def policies_to_train_wrong(good: Task) -> Task:
    return _edited(good, lambda config: config.multi_agent(policies_to_train=[CLERK]))


@bug("policies_to_train is empty", "PAR006")
def policies_to_train_empty(good: Task) -> Task:
    return _edited(good, lambda config: config.multi_agent(policies_to_train=[]))


@bug("every second episode goes to another module, by policy_mapping_fn", "PAR006")
def mapping_by_episode(good: Task) -> Task:
    def mapped(agent_id: Any, episode: Any, **kwargs: Any) -> str:
        return "spare" if agent_id == SORTER and hash(episode.id_) % 2 else agent_id

    return _edited(good, lambda config: _three_modules(config).multi_agent(policy_mapping_fn=mapped))


@bug("the learning agent's decisions go to another module, by policy_mapping_fn", "PAR002", "PAR006")
def mapping_to_another_module(good: Task) -> Task:
    class Spare(SorterModule):
        """Of the same shape, as a self-play opponent has it."""

    def edit(config: PPOConfig) -> PPOConfig:
        return _three_modules(config, Spare).multi_agent(
            policy_mapping_fn=lambda agent_id, *_, **__: "spare" if agent_id == SORTER else agent_id
        )

    return _edited(good, edit)


def _three_modules(config: PPOConfig, spare: type = SorterModule) -> PPOConfig:
    """A third module of the learning agent's shape."""
    env = SortingTogether()
    classes = {SORTER: SorterModule, CLERK: ClerkModule, "spare": spare}
    agents = {SORTER: SORTER, CLERK: CLERK, "spare": SORTER}
    specs = {
        name: RLModuleSpec(
            module_class=module,
            observation_space=env.observation_spaces[agents[name]],
            action_space=env.action_spaces[agents[name]],
        )
        for name, module in classes.items()
    }
    return config.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs)).multi_agent(
        policies=set(classes), policies_to_train=[SORTER, "spare"]
    )


@bug("the spec's key is a typing error: RLlib falls back to its default module", "PAR002", "PAR001")
def module_spec_missing(good: Task) -> Task:
    def edit(config: PPOConfig) -> PPOConfig:
        return config.rl_module(
            rl_module_spec=MultiRLModuleSpec(
                rl_module_specs={
                    "sortre": RLModuleSpec(module_class=SorterModule),
                    CLERK: RLModuleSpec(module_class=ClerkModule),
                }
            )
        )

    return _edited(good, edit)


@bug("a later .rl_module() replaces the module by another one", "PAR002")
def module_replaced(good: Task) -> Task:
    class Other(SorterModule):
        """The module of an earlier version of the port."""

    def edit(config: PPOConfig) -> PPOConfig:
        return config.rl_module(
            rl_module_spec=MultiRLModuleSpec(
                rl_module_specs={
                    SORTER: RLModuleSpec(module_class=Other),
                    CLERK: RLModuleSpec(module_class=ClerkModule),
                }
            )
        )

    return _edited(good, edit)


@bug("torch_skip_nan_gradients, which lets NaN into the weights (D6)", "PAR017")
def skip_nan_gradients(good: Task) -> Task:
    return _edited(good, lambda config: config.update_from_dict({"torch_skip_nan_gradients": True}))


@bug("rollouts are counted in agent steps: half as long", "PAR021", "PAR010")
def agent_steps(good: Task) -> Task:
    return _edited(good, lambda config: config.multi_agent(count_steps_by="agent_steps"))


@bug("exploration is off: rollouts are greedy", "PAR303", "PAR010", "PAR307")
def exploration_off(good: Task) -> Task:
    return _edited(good, lambda config: config.env_runners(explore=False))


@bug("a callback adds a bonus to every reward at the end of an episode", "PAR306")
def callback_changes_rewards(good: Task) -> Task:
    class Callbacks(RLlibCallback):
        def on_episode_step(self, *, episode: Any, **kwargs: Any) -> None:
            mine = episode.agent_episodes.get(SORTER)
            if mine is not None and len(mine.rewards):
                mine.rewards[-1] = mine.rewards[-1] + 0.1

    return _edited(good, lambda config: config.callbacks(Callbacks))


@bug("rollouts are cut into fragments of 16 steps", "PAR010")
def short_fragments(good: Task) -> Task:
    return _edited(good, lambda config: config.env_runners(rollout_fragment_length=16))


@bug("minibatches are never shuffled", "PAR010")
def minibatches_in_order(good: Task) -> Task:
    return _edited(good, lambda config: config.training(shuffle_batch_per_epoch=False))


@bug("a callback cuts the episodes of each environment that is created", "PAR033")
def callback_changes_environments(good: Task) -> Task:
    class Callbacks(RLlibCallback):
        def on_environment_created(self, *, env: Any, **kwargs: Any) -> None:
            for each in env.envs:
                each.unwrapped.env.lengths = (3, 4)

    return _edited(good, lambda config: config.callbacks(Callbacks))


@bug("the SB3 model that is brought trains with another gamma than the port", "PAR010")
def gamma_of_the_brought_sb3_model(good: Task) -> Task:
    def model(env: Any, seed: int, device: str) -> Any:
        other = dataclasses.replace(good, ppo=dataclasses.replace(good.ppo, gamma=0.8))
        return build_model(other, env, seed, device)

    return dataclasses.replace(good, sb3_model=model)
