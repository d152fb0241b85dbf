"""Networks with other names on both sides, separate value network, a module that is inference-only on env runners, finished configs."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.tune.registry import register_env
from torch import nn

from parity import PPOParams, Task


class Garden(gym.Env):
    """Five beds; water one, if dry enough; dry ones wither."""

    observation_space = spaces.Dict(
        {
            "soil": spaces.Box(0, 1, (5,), np.float32),
            "plants": spaces.MultiBinary(5),
            "action_mask": spaces.Box(0, 1, (6,), np.int8),
        }
    )
    action_space = spaces.Discrete(6)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.soil = self.np_random.uniform(0.3, 1, 5).astype(np.float32)
        self.plants, self.t = np.ones(5, np.int8), 0
        return self.observe(), {}

    def observe(self):
        return {
            "soil": self.soil.copy(),
            "plants": self.plants.copy(),
            "action_mask": np.append((self.soil < 0.6) & (self.plants > 0), True).astype(np.int8),
        }

    def step(self, a):
        assert self.observe()["action_mask"][a]
        if a < 5:
            self.soil[a] = 1.0
        self.soil = np.maximum(self.soil - self.np_random.uniform(0.05, 0.25, 5), 0).astype(np.float32)
        self.plants = (self.plants * (self.soil > 0.05)).astype(np.int8)
        self.t += 1
        return self.observe(), float(self.plants.sum()) / 5, not self.plants.any(), self.t >= 25, {}


class Net(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.policy_net = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 6))
        self.value_net = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, obs):
        x = torch.cat([obs["soil"], obs["plants"].float()], -1)
        return self.policy_net(x), self.value_net(x).squeeze(-1)


class Gardener(TorchRLModule, ValueFunctionAPI):
    """Grandmother's names."""

    def setup(self):
        self.sow = nn.Linear(10, 32)
        self.rake = nn.Linear(32, 32)
        self.choose = nn.Linear(32, 6)
        self.guess_1 = nn.Linear(10, 32)
        self.guess_2 = nn.Linear(32, 32)
        self.guess_3 = nn.Linear(32, 1)

    def x(self, batch):
        return torch.cat([batch[Columns.OBS]["soil"], batch[Columns.OBS]["plants"].float()], -1)

    def _forward(self, batch, **kwargs):
        logits = self.choose(torch.tanh(self.rake(torch.tanh(self.sow(self.x(batch))))))
        return {Columns.ACTION_DIST_INPUTS: logits.masked_fill(batch[Columns.OBS]["action_mask"] == 0, -1e9)}

    def compute_values(self, batch, embeddings=None):
        return self.guess_3(torch.tanh(self.guess_2(torch.tanh(self.guess_1(self.x(batch)))))).squeeze(-1)


PPO = PPOParams(n_envs=4, n_steps=64, batch_size=64, n_epochs=3, learning_rate=1e-3, max_grad_norm=0.3)
MAP = {f"policy_net.{i}": n for i, n in zip((0, 2, 4), ("sow", "rake", "choose"))} | {
    f"value_net.{i}": f"guess_{n}" for i, n in zip((0, 2, 4), (1, 2, 3))
}


def make(id, module=Gardener, **more):
    return Task(
        id=id,
        env=Garden,
        network=Net,
        rllib_module=module,
        ppo=PPO,
        **more,
    )


good = make("garden-own-names")
good_mapped = make(
    "garden-mapped", parameter_map={f"network.{a}.{w}": f"{b}.{w}" for a, b in MAP.items() for w in ("weight", "bias")}
)


class Lean(Gardener, InferenceOnlyAPI):
    """Env runners need no value network."""

    def get_non_inference_attributes(self):
        return ["guess_1", "guess_2", "guess_3"]


good_inference_only = make("garden-inference-only", Lean)


class GardenAgents(MultiAgentEnv):
    def __init__(self, config=None):
        super().__init__()
        self.env = Garden()
        self.agents = self.possible_agents = ["gardener"]
        self.observation_spaces = {"gardener": self.env.observation_space}
        self.action_spaces = {"gardener": self.env.action_space}

    def reset(self, *, seed=None, options=None):
        o, _ = self.env.reset(seed=seed)
        return {"gardener": o}, {}

    def step(self, actions):
        o, r, term, trunc, _ = self.env.step(actions["gardener"])
        return {"gardener": o}, {"gardener": r}, {"__all__": term}, {"__all__": trunc and not term}, {}


register_env("garden", lambda cfg: GardenAgents(cfg))


def finished(**training):
    """The config that its author gives to RLlib."""
    return (
        PPOConfig()
        .environment("garden", disable_env_checking=True)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=4, rollout_fragment_length=64)
        .multi_agent(policies={"p0"}, policy_mapping_fn=lambda aid, ep, **kw: "p0", policies_to_train=["p0"])
        .rl_module(rl_module_spec=RLModuleSpec(module_class=Gardener))
        .training(lr=1e-3, gamma=0.99, lambda_=0.95, clip_param=0.2, vf_clip_param=float("inf"), vf_loss_coeff=0.5)
        .training(entropy_coeff=0.0, use_kl_loss=False, kl_coeff=0.0, grad_clip=0.3, grad_clip_by="global_norm")
        .training(num_epochs=3, minibatch_size=64, train_batch_size_per_learner=256)
        .training(**training)
    )


def brought(id, config):
    return make(id, None, multi_agent_env=GardenAgents, rllib_config=config)


good_finished = brought("garden-finished", finished())
good_dict = brought("garden-dict", finished().to_dict())
bad_defaults = brought(
    "garden-defaults",
    PPOConfig()
    .environment("garden", disable_env_checking=True)
    .rl_module(rl_module_spec=RLModuleSpec(module_class=Gardener))
    .multi_agent(policies={"p0"}, policy_mapping_fn=lambda aid, ep, **kw: "p0"),
)
bad_finished_lambda = brought("garden-finished-lambda", finished(lambda_=1.0))
bad_finished_batch = brought("garden-finished-batch", finished(train_batch_size_per_learner=1024))


class OneTrunk(Gardener):
    """Value from the policy's first layer (guess_1 is left over)."""

    def compute_values(self, batch, embeddings=None):
        return self.guess_3(torch.tanh(self.guess_2(torch.tanh(self.sow(self.x(batch)))))).squeeze(-1)


bad_one_trunk = make("garden-one-trunk", OneTrunk)


class NoTanh(Gardener):
    """One activation is missing in the value network."""

    def compute_values(self, batch, embeddings=None):
        return self.guess_3(self.guess_2(torch.tanh(self.guess_1(self.x(batch))))).squeeze(-1)


bad_missing_tanh = make("garden-missing-tanh", NoTanh)


class Lossy(Gardener):
    """Soil is handed over in tenths."""

    def x(self, batch):
        return torch.cat([torch.floor(batch[Columns.OBS]["soil"] * 10) / 10, batch[Columns.OBS]["plants"].float()], -1)


bad_tenths = make("garden-tenths", Lossy)


class Narrow(Gardener):
    """16 hidden units, to save memory."""

    def setup(self):
        super().setup()
        self.sow, self.rake, self.choose = nn.Linear(10, 16), nn.Linear(16, 16), nn.Linear(16, 6)


bad_narrow = make("garden-narrow", Narrow)


class SmallInit(Gardener):
    def setup(self):
        super().setup()
        for p in self.parameters():
            nn.init.normal_(p, std=1.0)


bad_init = make("garden-init", SmallInit)
