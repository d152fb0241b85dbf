"""Two agents with a policy each, of which one learns: a dict with ``multiagent``."""

import numpy as np
from gymnasium import spaces
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.rllib.models import ModelCatalog
from ray.rllib.models.torch.torch_modelv2 import TorchModelV2
from ray.tune.registry import register_env
from torch import nn

SEEN = spaces.Dict({"view": spaces.Box(-1, 1, (4,), np.float32), "action_mask": spaces.Box(0, 1, (3,), np.int8)})
MOVES = spaces.Discrete(3)


class Depot(MultiAgentEnv):
    """A driver and a loader move at once; neither sees the other."""

    def __init__(self, config=None):
        super().__init__()
        self.agents = self.possible_agents = ["driver", "loader"]
        self.observation_spaces = dict.fromkeys(self.agents, SEEN)
        self.action_spaces = dict.fromkeys(self.agents, MOVES)

    def look(self):
        shown = {}
        for agent in self.agents:
            dice = self.dice[agent]
            mask = (dice.random(3) < 0.6).astype(np.int8)
            mask[dice.integers(3)] = 1
            shown[agent] = {"view": dice.uniform(-1, 1, 4).astype(np.float32), "action_mask": mask}
        self.shown = shown
        return shown

    def reset(self, *, seed=None, options=None):
        if seed is not None or not hasattr(self, "dice"):
            self.dice = {agent: np.random.default_rng([seed or 0, i]) for i, agent in enumerate(self.agents)}
        self.t = 0
        return self.look(), {}

    def step(self, actions):
        self.t += 1
        paid = {agent: self.paid(agent, int(action)) for agent, action in actions.items()}
        return self.look(), paid, {"__all__": self.t >= 10}, {"__all__": False}, {}

    def paid(self, agent, action):
        return float(self.shown[agent]["view"][action]) if self.shown[agent]["action_mask"][action] else -1.0


class Masked(TorchModelV2, nn.Module):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        self.body = nn.Sequential(nn.Linear(4, 24), nn.Tanh())
        self.logits, self.value = nn.Linear(24, num_outputs), nn.Linear(24, 1)

    def forward(self, input_dict, state, seq_lens):
        features = self.body(input_dict["obs"]["view"])
        self.last = self.value(features).squeeze(1)
        return self.logits(features).masked_fill(input_dict["obs"]["action_mask"] == 0, -1e10), state

    def value_function(self):
        return self.last


register_env("depot", lambda config: Depot(config))
ModelCatalog.register_custom_model("depot_model", Masked)


def policy_mapping_fn(agent_id, episode, worker, **kwargs):
    return f"{agent_id}_policy"


config = {
    "env": "depot",
    "framework": "torch",
    "num_workers": 0,
    "num_envs_per_worker": 2,
    "lr": 5e-4,
    "gamma": 0.9,
    "lambda": 0.95,
    "kl_coeff": 0.0,
    "clip_param": 0.2,
    "vf_clip_param": 100.0,
    "grad_clip": 10.0,
    "entropy_coeff": 0.01,
    "train_batch_size": 240,
    "sgd_minibatch_size": 60,
    "num_sgd_iter": 3,
    "model": {"custom_model": "depot_model"},
    "multiagent": {
        "policies": {
            "driver_policy": (None, SEEN, MOVES, {}),
            "loader_policy": (None, SEEN, MOVES, {}),
        },
        "policy_mapping_fn": policy_mapping_fn,
        "policies_to_train": ["driver_policy"],
    },
}
