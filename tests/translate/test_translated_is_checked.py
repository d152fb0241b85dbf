"""Scripts of the old API stack as people have them: what ``translate`` makes of them computes the same, as ``check`` says.

To the code that it prints, only that is added which its notes ask for. The old script itself stands beside it as the task's
old form, by the names that the installed ray takes.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from parity.cli import call

OLD = Path(__file__).with_name("old_configs")
# Names that ray had, and that the installed one does not take any more.
RENAMED = {
    "sgd_minibatch_size": "minibatch_size", "num_sgd_iter": "num_epochs", "num_workers": "num_env_runners",
    "num_rollout_workers": "num_env_runners", "num_envs_per_worker": "num_envs_per_env_runner",
    r"\.rollouts": ".env_runners",
}  # fmt: skip
MODULES = """
from parity import PPOParams, Task
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
import torch
from torch import nn


def masked(logits, mask):
    return logits + torch.clamp(torch.log(mask.float()), min=torch.finfo(torch.float32).min)


class Moved(TorchRLModule, ValueFunctionAPI):
    def setup(self):
        self.network = Network(self.observation_space, self.action_space)

    def _forward(self, batch, **kwargs):
        shown = dict(batch["obs"])
        mask = shown.pop("action_mask")
        return {"action_dist_inputs": masked(self.network(shown)[0], mask)}

    def compute_values(self, batch, embeddings=None):
        return self.network({name: part for name, part in batch["obs"].items() if name != "action_mask"})[1]
"""
ONE_MODULE = """
config.rl_module(rl_module_spec=RLModuleSpec(module_class=Moved))
"""
SEVERAL_ACTIONS = """
from ray.rllib.core.distribution.torch.torch_distribution import TorchMultiCategorical


class Moved(Moved):
    def setup(self):
        super().setup()
        self.action_dist_cls = TorchMultiCategorical.get_partial_dist_cls(input_lens=[3, 4])

"""


def network(towers: str, entry: str, size: int, logits: int, hidden: int, activation: str) -> str:
    """SB3's, and inside the module: ``towers`` "one" with a shared hidden layer, "two" without."""
    value = "trunk" if towers == "one" else "other"
    return f"""
class Network(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear({size}, {hidden}), nn.{activation}())
        {"" if towers == "one" else f"self.other = nn.Sequential(nn.Linear({size}, {hidden}), nn.{activation}())"}
        self.pi, self.vf = nn.Linear({hidden}, {logits}), nn.Linear({hidden}, 1)

    def forward(self, obs):
        shown = obs["{entry}"]
        return self.pi(self.trunk(shown)), self.vf(self.{value}(shown)).squeeze(-1)
"""


CARTS_NETWORK = """
def tower(out):
    return nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, out))


class Network(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.pi, self.vf = tower(2), tower(1)

    def forward(self, obs):
        return self.pi(obs), self.vf(obs).squeeze(-1)
"""
DRIVER = """
import gymnasium


class Driver(gymnasium.Env):
    observation_space, action_space = SEEN, MOVES

    def __init__(self):
        self.depot = Depot()

    def reset(self, *, seed=None, options=None):
        return self.depot.reset(seed=seed)[0]["driver"], {}

    def step(self, action):
        shown, paid, over, _, _ = self.depot.step({"driver": action})
        return shown["driver"], paid["driver"], over["__all__"], False, {}


spec = RLModuleSpec(module_class=Moved, observation_space=SEEN, action_space=MOVES)
config.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs={name: spec for name in config.policies}))
config.multi_agent(policy_mapping_fn=lambda agent_id, episode, **kwargs: f"{agent_id}_policy")
"""
CALLBACKS = """
from ray.rllib.callbacks.callbacks import RLlibCallback


class NowCounting(RLlibCallback):
    def on_episode_end(self, *, episode, metrics_logger, **kwargs):
        metrics_logger.log_value("length", len(episode))


config.callbacks(NowCounting)
"""
# The script -> what is added to the code, the task's further fields, and which comparison is made.
SCRIPTS: dict[str, tuple[str, str]] = {
    "single_agent": (CARTS_NETWORK, "env=Cart"),
    "action_mask": (network("one", "observations", 6, 5, 32, "ReLU") + ONE_MODULE, "env=Doors"),
    "several_policies": (network("one", "view", 4, 3, 24, "Tanh") + DRIVER, 'env=Driver, learning_agent="driver"'),
    "multi_discrete": (network("two", "yard", 7, 7, 32, "Tanh") + SEVERAL_ACTIONS + ONE_MODULE, "env=Crane"),
    "whole_episodes": (
        network("one", "floors", 2, 3, 32, "ReLU") + ONE_MODULE + CALLBACKS,
        'env=Lift, declared={"PAR126": "floors lie between -1 and 1 anyhow"}',
    ),
}
OPTIONS = {"the old stack": ["--old-against-new"], "SB3": ["--frameworks", "rllib"]}
# SB3 has no term of KL divergence, and in a task no schedule without an sb3_model.
NOT_WITH_SB3 = {"single_agent": {"PAR012"}, "whole_episodes": {"PAR010"}}
CASES = [(script, against) for against in OPTIONS for script in SCRIPTS]
QUICK = ("single_agent", "the old stack")


def written(script: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """A task file of the old script, of what it is translated to, and of what that asks for."""
    source = OLD / f"{script}.py"
    assert call(["translate", str(source), "--old-stack", "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    old = source.read_text()
    for before, now in RENAMED.items():
        old = re.sub(rf"{before}\b", now, old)
    added, fields = SCRIPTS[script]
    ppo = {name: float(value) if value == "inf" else value for name, value in document["ppo"].items()}
    both = "rllib_config=config, rllib_old_config=old"
    task = f"task = Task(id='moved', network=Network, {both}, ppo=PPOParams(**{ppo}), {fields})"
    file = folder / "moved.py"
    file.write_text("\n".join([old, "old = config", document["code"], MODULES, added, task]))
    return f"{file}:task"


@pytest.mark.parametrize(
    ("script", "against"), [pytest.param(*case, marks=() if case == QUICK else pytest.mark.slow) for case in CASES]
)
def test_what_translate_writes_of_an_old_script_is_checked(
    script: str, against: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = written(script, tmp_path, capsys)
    # A process of its own, as names that a script registers with ray stay there.
    options = ["--task", task, "--json", "--out", str(tmp_path), *OPTIONS[against]]
    ran = subprocess.run([sys.executable, "-m", "parity", "check", *options], capture_output=True, text=True)
    document = json.loads(ran.stdout)
    errors = {each["code"] for each in document["findings"] if each["severity"] == "error"}
    allowed = NOT_WITH_SB3.get(script, set()) if against == "SB3" else {"PAR126"} & errors
    assert errors == allowed and ran.returncode in (0, int(against == "SB3")), (ran.stderr, errors)
    assert document["compared"]
