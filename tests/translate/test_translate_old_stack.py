"""``parity translate --old-stack``: configurations of RLlib's old API stack become the new one's, and what is lost is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ray.rllib.algorithms.ppo import PPOConfig

from parity.cli import call
from parity.port.translate.old_stack import DEFAULTS

# As they are written in examples, forum threads and papers' repositories.
ATARI = {
    "env": "ALE/Pong-v5", "framework": "torch", "lambda": 0.95, "kl_coeff": 0.5, "clip_rewards": True, "clip_param": 0.1,
    "vf_clip_param": 10.0, "entropy_coeff": 0.01, "train_batch_size": 5000, "rollout_fragment_length": 100,
    "sgd_minibatch_size": 500, "num_sgd_iter": 10, "num_workers": 10, "num_envs_per_worker": 5,
    "batch_mode": "truncate_episodes", "observation_filter": "NoFilter", "model": {"vf_share_layers": True}, "num_gpus": 1,
}  # fmt: skip
MASKED = """
from ray import tune
from ray.rllib.models import ModelCatalog
from ray.rllib.policy.sample_batch import SampleBatch

ModelCatalog.register_custom_model("masked", ActionMaskModel)
config = {
    "env": ActionMaskEnv,
    "env_config": {"action_space": Discrete(100)},
    "model": {"custom_model": "masked", "custom_model_config": {"no_masking": False}, "vf_share_layers": True},
    "num_workers": 2,
    "gamma": 0.99,
    "lr": 3e-4,
    "exploration_config": {"type": "EpsilonGreedy"},
}
observations = batch[SampleBatch.CUR_OBS]
"""
MULTI = """
from ray.rllib.algorithms.ppo import PPOConfig

config = (
    PPOConfig()
    .api_stack(enable_rl_module_and_learner=False, enable_env_runner_and_connector_v2=False)
    .environment("connect_four", clip_actions=True)
    .framework("torch")
    .rollouts(num_rollout_workers=4, rollout_fragment_length=128)
    .training(train_batch_size=512, lr=2e-5, gamma=0.99, lambda_=0.9, use_gae=True, clip_param=0.4, grad_clip=None,
              entropy_coeff=0.1, vf_loss_coeff=0.25, sgd_minibatch_size=64, num_sgd_iter=10)
    .multi_agent(policies={"p0": (None, obs_space, act_space, {}), "p1": (None, obs_space, act_space, {})},
                 policy_mapping_fn=lambda agent_id, episode, worker, **kw: agent_id, policies_to_train=["p0"])
    .resources(num_gpus=0)
    .debugging(log_level="ERROR", seed=3)
)
"""
STEPWISE = """
from ray.rllib.algorithms.ppo import PPOConfig
config = PPOConfig()
config = config.training(lr_schedule=[[0, 1e-3], [1000000, 1e-5]], grad_clip=0.5, train_batch_size=2048, minibatch_size=256)
config.env_runners(num_env_runners=0, observation_filter="MeanStdFilter")
config.training(model={"fcnet_hiddens": [256, 256], "fcnet_activation": "relu"})
"""
TUNED = """
pong-ppo:
  env: CartPole-v1
  config: {framework: torch, gamma: 0.99, lr: 0.0003, num_workers: 1, num_sgd_iter: 6, vf_loss_coeff: 0.01,
           observation_filter: MeanStdFilter, model: {fcnet_hiddens: [32], fcnet_activation: linear, vf_share_layers: true}}
"""
CONFIGS = {
    "atari.json": (json.dumps(ATARI), {"clip_rewards"},
                   {"lambda_": 0.95, "train_batch_size_per_learner": 5000, "num_epochs": 10}),
    "masked.py": (MASKED, {"model.custom_model", "model.custom_model_config", "exploration_config", "SampleBatch", "env"},
                  {"gamma": 0.99, "num_env_runners": 2}),
    "multi.py": (MULTI, {"policy_mapping_fn", "policies['p0']"}, {"lambda_": 0.9, "minibatch_size": 64, "seed": 3}),
    "stepwise.py": (STEPWISE, {"observation_filter"},
                    {"lr": [[0, 1e-3], [1_000_000, 1e-5]], "grad_clip": 0.5, "grad_clip_by": "global_norm"}),
    "tuned.yaml": (TUNED.split("\n", 2)[2].replace("  env", "env").replace("  config", "config"), {"observation_filter"},
                   {"vf_loss_coeff": 0.01, "num_epochs": 6}),
}  # fmt: skip


def translated(folder: Path, capsys: pytest.CaptureFixture[str], name: str, text: str) -> dict[str, Any]:
    (folder / name).write_text(text)
    assert call(["translate", str(folder / name), "--old-stack", "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


@pytest.mark.parametrize("name", CONFIGS)
def test_five_real_configurations_become_code_of_the_new_stack(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, lost, fields = CONFIGS[name]
    document = translated(tmp_path, capsys, name, text)
    scope: dict[str, Any] = {}
    exec(compile(document["code"], name, "exec"), scope)
    config: PPOConfig = scope["config"]
    assert config.enable_rl_module_and_learner and config.enable_env_runner_and_connector_v2
    for field, expected in fields.items():
        assert getattr(config, field) == expected, field
    noted = {note["field"] for note in document["not_translated"]}
    assert lost <= noted, noted
    assert all(note["instead"] and note["remedy"] for note in document["not_translated"])
    config.validate()


def test_what_is_set_to_nothing_is_no_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = {
        "lr": 1e-3,
        "observation_filter": "NoFilter",
        "clip_rewards": False,
        "exploration_config": {"type": "StochasticSampling"},
    }
    assert not translated(tmp_path, capsys, "a.json", json.dumps(config))["not_translated"]


def test_networks_of_rllibs_own_keep_their_layers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = translated(tmp_path, capsys, "a.py", STEPWISE)["code"]
    written = 'DefaultModelConfig(vf_share_layers=False, fcnet_hiddens=[256, 256], fcnet_activation="relu")'
    assert f"model_config={written}" in code and not PPOConfig().model_config["vf_share_layers"]


def test_what_the_old_one_leaves_out_is_the_same_for_sb3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = PPOConfig()
    assert {name: getattr(config, name) for name in DEFAULTS} == DEFAULTS
    ppo = translated(tmp_path, capsys, "a.py", STEPWISE)["ppo"]
    assert (ppo["n_envs"], ppo["n_steps"], ppo["batch_size"], ppo["n_epochs"]) == (1, 2048, 256, 30)
    assert (ppo["learning_rate"], ppo["max_grad_norm"], ppo["gae_lambda"], ppo["adam_eps"]) == (1e-3, 0.5, 1.0, 1e-8)


def test_whole_episodes_of_several_environments_are_not_thrown_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"batch_mode": "complete_episodes", "lr": 1e-3}
    assert translated(tmp_path, capsys, "a.json", json.dumps(config))["config"]["env_runners"] == {
        "batch_mode": "complete_episodes"
    }
    document = translated(tmp_path, capsys, "b.json", json.dumps(config | {"num_envs_per_worker": 2}))
    assert [note["field"] for note in document["not_translated"]] == ["batch_mode"]
    assert "batch_mode" not in document["config"]["env_runners"]


@pytest.mark.parametrize("text", ["x = 1", "def f(:", "model = PPO('MlpPolicy', env)"])
def test_a_file_without_one_is_one_sentence(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.py").write_text(text)
    assert call(["translate", str(tmp_path / "a.py"), "--old-stack"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) <= 3
