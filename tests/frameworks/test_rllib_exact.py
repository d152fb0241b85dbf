"""The adapter `rllib-exact`: which configuration it makes of a port, and what it says of it."""

from __future__ import annotations

import dataclasses
import math

import pytest
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner

from parity import PPOParams
from parity.errors import CannotStart
from parity.frameworks import get
from parity.frameworks.rllib import Rllib
from parity.frameworks.rllib.eval_runner import make_env_runner
from parity.frameworks.rllib.exact.env_runner import ExactEnvRunner
from parity.frameworks.rllib.exact.framework import RllibExact, make_exact
from parity.frameworks.rllib.exact.learner import ExactPPOLearner
from parity.testing.toy_envs import SMALL, maze_task


def effective(task):
    return get("rllib-exact").effective(task, "cpu", threads=1)


@pytest.mark.parametrize(
    "ppo",
    [
        PPOParams(),
        PPOParams(normalize_advantage=False, target_kl=0.03, clip_range_vf=0.4, adam_eps=1e-7, n_envs=3, ent_coef=0.02),
    ],
    ids=["defaults", "all_that_rllib_lacks"],
)
def test_every_hyperparameter_is_translated_and_read_back(ppo):
    running = effective(maze_task(ppo=ppo))
    assert running.hyperparameters == dataclasses.asdict(ppo)
    assert running.untranslated == []


def test_the_learner_reads_the_options_that_the_task_gives():
    ppo = dataclasses.replace(SMALL, target_kl=0.5, adam_eps=1e-6)
    config = RllibExact().port(maze_task(ppo=ppo), 0, "cpu").config
    learner = config.build_learner(env=None, spaces=make_env_runner(config).get_spaces())
    assert isinstance(learner, ExactPPOLearner)
    options = learner.options("agent")
    assert (options.target_kl, options.adam_eps, options.clip_range_vf) == (0.5, 1e-6, None)


def finished() -> PPOConfig:
    return Rllib().port(maze_task(), 0, "cpu").config.training(lr=5e-5, vf_clip_param=10.0, use_kl_loss=True)


def test_a_finished_configuration_is_replaced_on_a_copy():
    config = finished().env_runners(batch_mode="complete_episodes")
    running = effective(maze_task(rllib_config=config))
    assert running.hyperparameters["learning_rate"] == 5e-5, "its hyperparameters stay"
    assert running.hyperparameters["adam_eps"] == SMALL.adam_eps
    assert {left.field for left in running.untranslated} == {"kl_coeff", "vf_clip_param", "batch_mode"}
    assert config.learner_class is PPOTorchLearner and config.env_runner_cls is None
    assert config.use_kl_loss and config.vf_clip_param == 10.0 and not config.learner_config_dict
    exact, _ = make_exact(config, maze_task())
    assert exact.learner_class is ExactPPOLearner and exact.env_runner_cls is ExactEnvRunner
    assert math.isinf(exact.vf_clip_param) and not exact.use_kl_loss


def test_a_function_has_the_last_word_on_the_options():
    task = maze_task(rllib_config=lambda config: config.learners(learner_config_dict={"target_kl": 0.2}))
    assert effective(task).hyperparameters["target_kl"] == 0.2


class OwnLearner(PPOTorchLearner):
    pass


class OwnExactLearner(ExactPPOLearner):
    pass


class OwnRunner(MultiAgentEnvRunner):
    pass


def test_a_learner_of_the_users_own_cannot_be_exact_unless_it_is_derived():
    with pytest.raises(CannotStart, match=r"brings the learner OwnLearner.*leave rllib-exact out"):
        effective(maze_task(rllib_config=lambda config: config.learners(learner_class=OwnLearner)))
    own = maze_task(rllib_config=lambda config: config.learners(learner_class=OwnExactLearner))
    assert RllibExact().port(own, 0, "cpu").config.learner_class is OwnExactLearner


def test_an_unknown_option_is_one_sentence():
    task = maze_task(rllib_config=lambda config: config.learners(learner_config_dict={"beta": 1}))
    with pytest.raises(CannotStart, match="no field `beta`"):
        effective(task)


def test_an_env_runner_of_the_users_own_stays_and_is_listed():
    task = maze_task(rllib_config=lambda config: config.env_runners(env_runner_cls=OwnRunner))
    assert RllibExact().port(task, 0, "cpu").config.env_runner_cls is OwnRunner
    (left,) = effective(task).untranslated
    assert left.field == "n_steps" and "OwnRunner" in left.reason


@pytest.mark.parametrize(("framework", "carried"), [(Rllib, False), (RllibExact, True)])
def test_values_travel_with_the_sample_only_where_they_are_used(framework, carried):
    runner = make_env_runner(framework().port(maze_task(), 0, "cpu").config)
    calls = []
    module = runner.module["agent"].unwrapped()
    compute_values = module.compute_values
    module.compute_values = lambda *args, **kwargs: calls.append(1) or compute_values(*args, **kwargs)
    episodes = runner.sample()
    columns = episodes[0].agent_episodes["agent"].extra_model_outputs
    assert (Columns.VF_PREDS in columns) == carried
    # Once for the observations where the rollout was cut; nothing for those that were acted on.
    assert len(calls) == (1 if carried else 0)


def test_it_trains_exactly_the_steps_of_the_task():
    task = maze_task()
    session = RllibExact().open(task, seed=1, device="cpu", threads=1)
    seen = []
    try:
        session.train(96, seen.append)
    finally:
        session.close()
    assert [iteration.steps for iteration in seen] == [32, 64, 96]
    assert session.sampling_masks().violations == 0
