"""A port's configuration on a probe: what it does to training comes along, what belongs to its environment stays."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

pytest.importorskip("ray.rllib")

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner

from parity import PPOParams, Task, probes
from parity.errors import CannotStart
from parity.frameworks import hyperparameters
from parity.frameworks.rllib.config import build_port
from parity.probes.ask import failures
from parity.probes.transplant import with_port
from parity.selftest.good import SORTER, good_port
from parity.selftest.register import BUGS, load

load()


class OwnLearner(PPOTorchLearner):
    """A port's."""


def config_on(probe: str, port: Task) -> Any:
    return build_port(with_port(probes.get(probe), port), seed=0, device="cpu").config


def changed(edit: Any) -> Task:
    return dataclasses.replace(good_port(), rllib_config=edit)


@pytest.mark.parametrize("name", ["probe-lambda", "probe-other-agent"])
def test_what_the_port_leaves_alone_is_the_probes(name: str) -> None:
    probe = probes.get(name)
    config = config_on(name, changed(lambda config: config.learners(learner_class=OwnLearner)))
    own = build_port(probe.task, seed=0, device="cpu").config
    assert config.learner_class is OwnLearner and own.learner_class is not OwnLearner
    found, wanted = hyperparameters.of_rllib(config), hyperparameters.of_rllib(own)
    assert found == wanted
    assert config.env == own.env and config.policies_to_train is not None


def test_a_hyperparameter_that_the_port_sets_as_its_task_says_is_the_probes() -> None:
    port = good_port()
    config = config_on("probe-lambda", changed(lambda c: c.training(lr=port.ppo.learning_rate, lambda_=1.0)))
    probe = probes.get("probe-lambda").task.ppo
    assert config.lr == probe.learning_rate != port.ppo.learning_rate
    assert config.lambda_ == 1.0 != probe.gae_lambda


def finished() -> PPOConfig:
    """As `good_port`'s task says, but for the learner's class and lambda."""
    ppo = good_port().ppo
    training, env_runners, _ = hyperparameters.to_rllib(ppo)
    return (
        PPOConfig()
        .training(**training | {"lambda_": 1.0})
        .env_runners(**env_runners)
        .learners(learner_class=OwnLearner)
    )


@pytest.mark.parametrize("is_dict", [False, True])
def test_a_finished_configuration_is_carried_over_too(is_dict: bool) -> None:
    brought = finished().to_dict() if is_dict else finished()
    port = dataclasses.replace(good_port(), rllib_module=None, other_modules={}, rllib_config=brought)
    config = config_on("probe-lambda", port)
    probe = probes.get("probe-lambda").task.ppo
    assert config.learner_class is OwnLearner and config.lambda_ == 1.0
    assert (config.lr, config.minibatch_size) == (probe.learning_rate, probe.batch_size)
    assert config.train_batch_size_per_learner == probe.rollout_steps


def test_the_agent_has_the_name_that_connectors_and_learners_look_for() -> None:
    assert with_port(probes.get("probe-mask"), good_port()).learning_agent == SORTER


def test_the_ports_specification_is_not_edited_into_the_probes() -> None:
    def edit(config: PPOConfig) -> PPOConfig:
        config.rl_module_spec.rl_module_specs.clear()
        return config.multi_agent(policies=["other"], policies_to_train=["other"])

    assert list(config_on("probe-mask", changed(edit)).rl_module_spec.rl_module_specs) == [SORTER]


def test_a_configuration_that_cannot_be_applied_is_one_sentence() -> None:
    def edit(config: PPOConfig) -> PPOConfig:
        raise KeyError("picture")

    with pytest.raises(CannotStart, match=r"rllib_config of task sorting cannot be applied to probe-mask: KeyError"):
        config_on("probe-mask", changed(edit))


@pytest.mark.usefixtures("ray_started")
@pytest.mark.parametrize(
    ("bug", "name", "cause"),
    [
        pytest.param("lambda-default", "probe-lambda", "lambda is another one", id="lambda-default"),
        pytest.param("advantage-sign", "probe-observation", "the opposite", marks=pytest.mark.slow, id="learner"),
        pytest.param("gamma-default", "probe-previous-step", "gamma", marks=pytest.mark.slow, id="gamma-default"),
    ],
)
def test_a_bug_in_a_ports_configuration_is_told_by_the_probe(bug: str, name: str, cause: str) -> None:
    """The port's environment and module stay behind; its configuration alone fails the probe."""
    port = BUGS[bug].plant(good_port())
    probe = probes.get(name)
    found = failures(probe, "rllib", with_port(probe, port))
    assert any(cause in (failure.cause or "") for failure in found), found


@pytest.mark.slow
@pytest.mark.usefixtures("ray_started")
@pytest.mark.parametrize("name", probes.names())
def test_a_good_ports_configuration_fails_no_probe(name: str) -> None:
    def edit(config: PPOConfig) -> PPOConfig:
        ppo = good_port().ppo
        return config.training(lr=ppo.learning_rate, gamma=ppo.gamma).learners(learner_class=OwnLearner)

    probe = probes.get(name)
    assert failures(probe, "rllib", with_port(probe, changed(edit))) == []


def test_a_port_without_a_configuration_is_the_probe_itself() -> None:
    probe = probes.get("probe-cooperative")
    assert with_port(probe, good_port()) == probe.task
    assert isinstance(probe.task.ppo, PPOParams)
