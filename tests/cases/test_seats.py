"""Several agents, one shared policy, a module chosen per episode, agents that come and go: no good port is accused."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from climb import accused, climb
from ray.rllib.algorithms.ppo import PPOConfig
from seats import (
    PORTS,
    PORTS_OF_OTHER_KEYS,
    LegalModule,
    Module,
    main_on_either_seat,
    register_counters,
    self_play,
    task,
)

from parity import Task
from parity.errors import CannotStart
from parity.frameworks.evaluation import evaluate
from parity.frameworks.rllib import Rllib
from parity.frameworks.rllib.config import build_port
from parity.frameworks.rllib.mapping import learning_module, modules_of


@pytest.fixture(autouse=True)
def counters() -> None:
    register_counters()


@pytest.mark.parametrize("name", PORTS)
def test_a_port_of_several_agents_is_compared_and_holds(name: str) -> None:
    document = climb(PORTS[name])
    assert document.exit_code == 0, document.findings
    assert document.compared and accused(document) == []


def test_a_module_chosen_per_episode_is_the_trained_one_every_time() -> None:
    for _ in range(5):
        port = build_port(PORTS["self-play"], seed=0, device="cpu")
        assert port.learning_module == "main"
        assert modules_of(port.config, "left") == ["main", "past"]


def test_of_several_trained_modules_it_is_the_most_frequent_one_then_by_name() -> None:
    def seldom(agent: str, episode: Any, **_: Any) -> str:
        return "a" if episode.id_[-1] == "0" else "b"

    config = PPOConfig().multi_agent(policies={"a", "b"}, policy_mapping_fn=seldom)
    assert learning_module(config, "left") == "b"
    config = PPOConfig().multi_agent(policies={"main", "past"}, policy_mapping_fn=main_on_either_seat)
    assert learning_module(config, "left") == "main"


@pytest.mark.parametrize("name", ["self-play", "left-leaves", "right-comes-later"])
def test_the_evaluator_plays_the_learning_agent_by_the_learning_module(name: str) -> None:
    session = Rllib().open(PORTS[name], seed=0, device="cpu", threads=1)
    session.train(PORTS[name].ppo.rollout_steps, lambda _: None)
    eval_runner = session.eval_runner(3)
    evaluation = evaluate(eval_runner, 6, deterministic=False)
    again = evaluate(eval_runner, 6, deterministic=False)
    modules = [episode.module_for("left") for episode in eval_runner._episodes]  # type: ignore[attr-defined]
    session.close()
    assert modules == [session.port.learning_module] * 3  # type: ignore[attr-defined]
    assert evaluation.masks.decisions > 0 and evaluation.masks.violations == 0
    assert np.array_equal(evaluation.returns, again.returns)


def _rest_is_parity(config: PPOConfig) -> PPOConfig:
    """Names policies and leaves out who plays them."""
    return config.multi_agent(policies={"both"})


def test_policies_without_a_mapping_are_one_sentence() -> None:
    with pytest.raises(CannotStart, match=r"policies both .* policy_mapping_fn"):
        build_port(task("unmapped", rllib_config=_rest_is_parity), seed=0, device="cpu")


def _one_seat_always_past(config: PPOConfig) -> PPOConfig:
    """The mistake: half of the learning agent's decisions go to a frozen copy, and nothing comes in exchange."""

    def mapping(agent: str, episode: Any, *_: Any, **__: Any) -> str:
        return "main" if agent == "left" and int(episode.id_[-1], 16) % 2 else "past"

    policies = config.multi_agent(policies={"main", "past"}, policy_mapping_fn=mapping)
    return policies.multi_agent(policies_to_train=["main"])


def _always_past(config: PPOConfig) -> PPOConfig:
    """The mistake: a module is trained that plays nobody."""
    return self_play(config).multi_agent(policy_mapping_fn=lambda *_, **__: "past")


@pytest.mark.parametrize(
    ("edit", "code"), [(_one_seat_always_past, "PAR006"), (_always_past, "PAR006")], ids=["half", "never"]
)
def test_decisions_that_are_not_learned_from_are_named(edit: Any, code: str) -> None:
    broken: Task = task("broken", rllib_config=edit, rllib_module=Module)
    assert accused(climb(broken))[0] == code


@pytest.mark.parametrize("name", PORTS_OF_OTHER_KEYS)
def test_masks_may_stand_where_the_module_looks_for_them(name: str) -> None:
    document = climb(PORTS_OF_OTHER_KEYS[name])
    assert document.exit_code == 0, document.findings
    assert document.compared and accused(document) == []


class _IgnoresTheMask(LegalModule):
    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return super()._forward({"obs": {**batch["obs"], "legal": torch.ones_like(batch["obs"]["legal"])}})


def test_a_module_that_ignores_its_mask_under_another_name_is_seen() -> None:
    named = PORTS_OF_OTHER_KEYS["named-by-the-task"]
    assert accused(climb(dataclasses.replace(named, rllib_module=_IgnoresTheMask)))[0] == "PAR201"


def test_masks_under_another_name_are_counted_in_training_and_evaluation() -> None:
    session = Rllib().open(PORTS_OF_OTHER_KEYS["told-by-its-form"], seed=0, device="cpu", threads=1)
    session.train(PORTS_OF_OTHER_KEYS["told-by-its-form"].ppo.rollout_steps, lambda _: None)
    evaluation = evaluate(session.eval_runner(2), 2, deterministic=False)
    counts = session.sampling_masks()
    session.close()
    assert counts.decisions > 0 and counts.violations == 0 and counts.empty == 0
    assert evaluation.masks.decisions > 0 and evaluation.masks.violations == 0
