"""Configuration that RLlib's new API stack accepts and never reads is named, and nothing else is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import ray.rllib
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.policy.policy import PolicySpec

from parity.capture.rllib.ignored_fields import OLD_STACK, ignored_fields
from parity.ladder.rung_input import RungReport
from parity.ladder.rungs.configuration import INSTEAD, _ignored

Edit = Callable[[PPOConfig], object]


def removed_name(config: PPOConfig) -> None:
    config.sgd_minibatch_size = 64


def misspelt(config: PPOConfig) -> None:
    config.num_epoch = 3


@pytest.mark.parametrize(
    ("edit", "fields"),
    [
        (
            lambda c: c.training(model={"fcnet_hiddens": [64], "use_lstm": True}),
            {"model/fcnet_hiddens", "model/use_lstm"},
        ),
        (lambda c: c.training(model={"made_up": 1}), {"model/made_up"}),
        (lambda c: c.env_runners(observation_filter="MeanStdFilter"), {"observation_filter"}),
        (lambda c: c.env_runners(exploration_config={"type": "EpsilonGreedy"}), {"exploration_config"}),
        (lambda c: c.environment(action_mask_key="legal", clip_rewards=True), {"action_mask_key", "clip_rewards"}),
        (lambda c: c.multi_agent(policies={"a": PolicySpec(config={"gamma": 0.5})}), {"policies/a/config"}),
        (removed_name, {"sgd_minibatch_size"}),
        (misspelt, {"num_epoch"}),
    ],
)
def test_a_field_without_effect_is_named_with_what_has_one(edit: Edit, fields: set[str]) -> None:
    config = PPOConfig()
    edit(config)
    ignored = ignored_fields(config)
    assert set(ignored) == fields
    report = RungReport(0)
    _ignored(report, ignored)
    (finding,) = report.findings
    assert finding.code == "PAR057" and finding.severity == "warning"
    assert all(name.replace("/", ".") in finding.message for name in fields)
    known = [INSTEAD[name] for name in {field.partition("/")[0] for field in fields} if name in INSTEAD]
    assert all(words in (finding.fix or "") for words in known)


@pytest.mark.parametrize(
    "edit",
    [
        lambda _: None,
        lambda c: c.training(lr=1e-3, lambda_=0.9, num_epochs=3, minibatch_size=32, model={}),
        lambda c: c.env_runners(num_env_runners=2, batch_mode="complete_episodes"),
        lambda c: c.multi_agent(policies={"a", "b"}, policy_mapping_fn=lambda a, *_: a),
        lambda c: c.rl_module(model_config={"fcnet_hiddens": [64]}),
        lambda c: c.environment("CartPole-v1").validate(),
        lambda c: setattr(c, "weight_of_my_own_loss", 0.5),
        lambda c: c.callbacks(on_train_result=lambda **_: None),
    ],
)
def test_a_field_that_is_read_is_not(edit: Edit) -> None:
    config = PPOConfig()
    edit(config)
    assert ignored_fields(config) == {}


def test_the_new_stack_still_reads_none_of_them() -> None:
    """Fails where RLlib begins to read one; the old stack's files, and those that merely refuse a value, are left out."""
    root = Path(ray.rllib.__file__).parent
    new = [
        *root.glob("core/**/*.py"), *root.glob("connectors/*_to_*/*.py"), *root.glob("connectors/learner/*.py"),
        *root.glob("connectors/common/*.py"), *root.glob("env/*env_runner.py"), root / "algorithms/ppo/ppo_learner.py",
        root / "algorithms/ppo/torch/ppo_torch_learner.py", root / "algorithms/ppo/ppo_catalog.py",
    ]  # fmt: skip
    source = "\n".join(path.read_text(encoding="utf-8") for path in new)
    read = [name for name in OLD_STACK if re.search(rf"config\.{name}\b", source)]
    assert len(new) > 50 and not read
