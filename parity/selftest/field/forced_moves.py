"""Often one action only is legal: pouring between three jugs. Also: masks as wrappers add them."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from torch import nn

from parity import PPOParams, Task

MOVES = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
SIZES = np.array([8, 5, 3])


class Jugs(gym.Env):
    observation_space = spaces.MultiDiscrete([9, 6, 4])
    action_space = spaces.Discrete(6)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.jugs = np.array([int(self.np_random.integers(3, 9)), 0, 0])
        self.goal, self.t, self.last = 1, 0, None
        return self.jugs.copy(), {}

    def legal(self):
        ok = [bool(self.jugs[a] > 0 and self.jugs[b] < SIZES[b]) for a, b in MOVES]
        if self.last is not None and sum(ok) > 1:
            ok[MOVES.index(MOVES[self.last][::-1])] = False
        return ok

    def step(self, action):
        assert self.legal()[action]
        a, b = MOVES[action]
        x = min(self.jugs[a], SIZES[b] - self.jugs[b])
        self.jugs[a] -= x
        self.jugs[b] += x
        self.t += 1
        self.last = int(action)
        won = bool((self.jugs == self.goal).any())
        return self.jugs.copy(), 1.0 if won else -0.05, won, self.t >= 16 and not won, {}


class ShowsMask(gym.ObservationWrapper):
    """The usual wrapper that puts masks into the observation."""

    def __init__(self, env):
        super().__init__(env)
        self.observation_space = spaces.Dict(
            {"jugs": env.observation_space, "action_mask": spaces.Box(0, 1, (6,), np.uint8)}
        )

    def observation(self, obs):
        return {"jugs": obs, "action_mask": np.array(self.unwrapped.legal(), np.uint8)}


def make_env():
    return ShowsMask(Jugs())


def one_hot(jugs):
    return torch.cat([nn.functional.one_hot(jugs[:, i].long(), int(n) + 1) for i, n in enumerate(SIZES)], -1).float()


class Net(nn.Module):
    def __init__(self, observation_space, action_space):
        super().__init__()
        self.f = nn.Sequential(nn.Linear(19, 32), nn.ReLU())
        self.p, self.v = nn.Linear(32, 6), nn.Linear(32, 1)

    def forward(self, obs):
        h = self.f(one_hot(obs["jugs"] if isinstance(obs, dict) else obs))
        return self.p(h), self.v(h).squeeze(-1)


class Pourer(TorchRLModule, ValueFunctionAPI):
    key = "jugs"

    def setup(self):
        self.f = nn.Sequential(nn.Linear(19, 32), nn.ReLU())
        self.p, self.v = nn.Linear(32, 6), nn.Linear(32, 1)

    def logits(self, batch):
        return self.p(self.f(one_hot(batch[Columns.OBS][self.key])))

    def _forward(self, batch, **kwargs):
        mask = batch[Columns.OBS]["action_mask"]
        return {Columns.ACTION_DIST_INPUTS: self.logits(batch).masked_fill(mask == 0, -1e9)}

    def compute_values(self, batch, embeddings=None):
        return self.v(self.f(one_hot(batch[Columns.OBS][self.key]))).squeeze(-1)


class PlainPourer(Pourer):
    key = "observations"


def make(id, module=Pourer, env=make_env, **more):
    return Task(
        id=id,
        env=env,
        network=Net,
        rllib_module=module,
        ppo=PPOParams(n_envs=4, n_steps=64, batch_size=64, n_epochs=3, learning_rate=1e-3),
        **more,
    )


good = make("jugs-wrapped")
good_method = make("jugs-method", PlainPourer, Jugs, mask="method:legal")


class JugAgents(MultiAgentEnv):
    def __init__(self, config=None):
        super().__init__()
        self.env = make_env()
        self.agents = self.possible_agents = ["pourer"]
        self.observation_spaces = {"pourer": self.env.observation_space}
        self.action_spaces = {"pourer": self.env.action_space}

    def reset(self, *, seed=None, options=None):
        o, _ = self.env.reset(seed=seed)
        return {"pourer": o}, {}

    def step(self, actions):
        o, r, term, trunc, _ = self.env.step(actions["pourer"])
        return {"pourer": o}, {"pourer": r}, {"__all__": term}, {"__all__": trunc}, {}


good_brought = make("jugs-brought", multi_agent_env=JugAgents)


class SkipsForced(JugAgents):
    """Plays forced moves by itself: the agent is only asked where there is a choice."""

    def step(self, actions):
        o, r, t, u, i = super().step(actions)
        total = r["pourer"]
        while not (t["__all__"] or u["__all__"]) and o["pourer"]["action_mask"].sum() == 1:
            o, r, t, u, i = super().step({"pourer": int(o["pourer"]["action_mask"].argmax())})
            total += r["pourer"]
        return o, {"pourer": total}, t, u, i


bad_skips_forced = make("jugs-skips-forced", multi_agent_env=SkipsForced)


class LiftsForced(JugAgents):
    """Where one action is left, everything is allowed (and the forced one is played)."""

    def lift(self, o):
        o = dict(o["pourer"])
        self.only = int(o["action_mask"].argmax()) if o["action_mask"].sum() == 1 else None
        if self.only is not None:
            o["action_mask"] = np.ones(6, np.uint8)
        return {"pourer": o}

    def reset(self, **kw):
        o, i = super().reset(**kw)
        return self.lift(o), i

    def step(self, actions):
        o, *rest = super().step(actions if self.only is None else {"pourer": self.only})
        return (self.lift(o), *rest)


bad_lifts_forced = make("jugs-lifts-forced", multi_agent_env=LiftsForced)


class EmptyEnd(JugAgents):
    """'A jug that was just filled has to settle': nothing is poured out of it, even where there is nothing else to do."""

    def forbid(self, o):
        o = dict(o["pourer"])
        last = self.env.unwrapped.last
        if last is not None:
            o["action_mask"] = np.array(
                [m and a != MOVES[last][1] for m, (a, b) in zip(o["action_mask"], MOVES)], np.uint8
            )
        return {"pourer": o}

    def step(self, actions):
        if not self.env.unwrapped.legal()[actions["pourer"]]:
            actions = {"pourer": int(np.argmax(self.env.unwrapped.legal()))}
        o, *rest = super().step(actions)
        return (self.forbid(o), *rest)


bad_empty_mask = make("jugs-empty-mask", multi_agent_env=EmptyEnd)


class MaskFloat(Pourer):
    """Multiplies instead of masking: a forbidden action's logit is 0, not -inf."""

    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.logits(batch) * batch[Columns.OBS]["action_mask"]}


bad_multiplies = make("jugs-multiplies", MaskFloat)


class Epsilon(Pourer):
    """A tenth of the moves at random (among legal ones), without telling the log-probability."""

    def _forward_exploration(self, batch, **kwargs):
        out = self._forward(batch)
        legal = batch[Columns.OBS]["action_mask"].float()
        probs = torch.softmax(out[Columns.ACTION_DIST_INPUTS], -1) * 0.9 + 0.1 * legal / legal.sum(-1, keepdim=True)
        actions = torch.distributions.Categorical(probs=probs).sample()
        logp = torch.log_softmax(out[Columns.ACTION_DIST_INPUTS], -1).gather(-1, actions[:, None])[:, 0]
        return {**out, Columns.ACTIONS: actions, Columns.ACTION_LOGP: logp}


bad_epsilon = make("jugs-epsilon", Epsilon)


class NewLogp(Pourer):
    """Samples itself and forgets the mask in the log-probability that it stores."""

    def _forward_exploration(self, batch, **kwargs):
        out = self._forward(batch)
        actions = torch.distributions.Categorical(logits=out[Columns.ACTION_DIST_INPUTS]).sample()
        free = torch.log_softmax(self.logits(batch), -1)
        return {**out, Columns.ACTIONS: actions, Columns.ACTION_LOGP: free.gather(-1, actions[:, None])[:, 0]}


bad_logp_unmasked = make("jugs-logp-unmasked", NewLogp)
