"""The two sides that the tests of `rllib-exact` hold together: MaskablePPO itself, and RLlib with the exact learner."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.tune.registry import register_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv

from parity.frameworks.rllib.env import SingleAgentAsMultiAgent
from parity.frameworks.rllib.exact.env_runner import ExactEnvRunner
from parity.frameworks.rllib.exact.learner import ExactPPOLearner
from parity.frameworks.rllib.module import SharedNetworkModule
from parity.frameworks.sampling import inverse_cdf
from parity.frameworks.sb3 import UnwrappedMaskablePPO
from parity.frameworks.sb3.policy import SharedNetworkPolicy
from parity.task.masks import MaskedEnv, choices, n_logits

AGENT = "agent"
SPACES = {
    "discrete": spaces.Discrete(5),
    "multidiscrete": spaces.MultiDiscrete([3, 2, 4]),
    "multibinary": spaces.MultiBinary(3),
}


class Walk(gymnasium.Env):
    """Short random episodes: about a fifth terminate at each step, the rest is truncated after `limit` steps.

    A ``Dict`` observation of an image, a vector in float64 and a number; masks with one and with many legal actions.
    """

    limit = 6

    def __init__(self, action_space: spaces.Space) -> None:
        self.action_space = action_space
        self.observation_space = spaces.Dict(
            {
                "image": spaces.Box(0, 255, (1, 6, 6), np.uint8),
                "vector": spaces.Box(-5, 5, (3,), np.float64),
                "number": spaces.Discrete(4),
            }
        )

    def _observe(self) -> dict[str, Any]:
        sizes = choices(self.action_space)
        self._mask = np.concatenate([self._legal(n) for n in sizes])
        return {
            "image": self.np_random.integers(0, 256, (1, 6, 6), dtype=np.uint8),
            "vector": self.np_random.normal(size=3).clip(-5, 5),
            "number": int(self.np_random.integers(4)),
        }

    def _legal(self, n: int) -> np.ndarray:
        legal = self.np_random.random(n) < 0.5
        legal[self.np_random.integers(n)] = True
        return legal

    def action_masks(self) -> np.ndarray:
        return self._mask

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._t = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._t += 1
        reward = float(np.sum(action)) / 3 + float(self.np_random.normal())
        terminated = bool(self.np_random.random() < 0.15)
        return self._observe(), reward, terminated, self._t >= self.limit, {}


class Network(torch.nn.Module):
    """Convolution beside a vector, one trunk, two heads."""

    def __init__(self, observation_space: spaces.Dict, action_space: spaces.Space) -> None:
        super().__init__()
        self.image = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten())
        self.trunk = torch.nn.Sequential(torch.nn.Linear(4 * 16 + 3 + 4, 32), torch.nn.Tanh())
        self.policy = torch.nn.Linear(32, n_logits(action_space))
        self.value = torch.nn.Linear(32, 1)

    def forward(self, obs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        number = torch.nn.functional.one_hot(obs["number"], 4).float()
        parts = [self.image(obs["image"].float() / 255.0), obs["vector"], number]
        features = self.trunk(torch.cat(parts, dim=-1))
        return self.policy(features), self.value(features).squeeze(-1)


class RecordingLearner(ExactPPOLearner):
    """Keeps each minibatch's loss terms, and gradients and parameters at each step."""

    def build(self) -> None:
        super().build()
        self.terms: list[Any] = []
        self.steps: list[dict[str, tuple[torch.Tensor, torch.Tensor]]] = []

    def loss_terms(self, **kwargs: Any) -> Any:
        self.terms.append(super().loss_terms(**kwargs))
        return self.terms[-1]

    def apply_gradients(self, gradients_dict: Any) -> None:
        module = self.module[AGENT].network
        if not gradients_dict:
            return super().apply_gradients(gradients_dict)
        gradients = {name: gradients_dict[p].clone() for name, p in module.named_parameters()}
        super().apply_gradients(gradients_dict)
        self.steps.append({name: (gradients[name], p.detach().clone()) for name, p in module.named_parameters()})


PPO: dict[str, Any] = {
    "n_steps": 13, "batch_size": 16, "n_epochs": 3, "learning_rate": 3e-4, "gamma": 0.97, "gae_lambda": 0.9,
    "clip_range": 0.2, "clip_range_vf": None, "ent_coef": 0.01, "vf_coef": 0.5, "max_grad_norm": 0.5,
    "normalize_advantage": True, "target_kl": None,
}  # fmt: skip
N_ENVS = 4


class Sb3Side:
    """MaskablePPO whose actions and permutations come from generators of this seed."""

    def __init__(self, action_space: spaces.Space, seed: int = 3, **ppo: Any) -> None:
        env = DummyVecEnv([lambda: MaskedEnv(Walk(action_space)) for _ in range(N_ENVS)])
        self.model = UnwrappedMaskablePPO(
            SharedNetworkPolicy,
            env,
            seed=seed,
            device="cpu",
            policy_kwargs={"network": Network, "network_seed": seed, "adam_eps": 1e-5},
            **(PPO | ppo),
        )
        self.model.set_logger(configure(None, []))
        _, self._callback = self.model._setup_learn(10_000_000)
        self._uniforms = np.random.default_rng([seed, 1])
        self._permutations = np.random.default_rng([seed, 2])
        distribution = self.model.policy.action_dist
        distribution.sample = lambda: self._sample(distribution, action_space)
        self.steps: list[dict[str, tuple[torch.Tensor, torch.Tensor]]] = []
        optimizer, network = self.model.policy.optimizer, self.model.policy.network
        optimizer.register_step_post_hook(
            lambda *_: self.steps.append(
                {name: (p.grad.clone(), p.detach().clone()) for name, p in network.named_parameters()}
            )
        )

    def _sample(self, distribution: Any, action_space: spaces.Space) -> torch.Tensor:
        if isinstance(action_space, spaces.Discrete):
            probs = distribution.distribution.probs
            return inverse_cdf(probs, torch.as_tensor(self._uniforms.random((len(probs), 1))[:, 0]))
        parts = [part.probs for part in distribution.distributions]
        uniforms = torch.as_tensor(self._uniforms.random((len(parts[0]), len(parts))))
        return torch.stack([inverse_cdf(probs, uniforms[:, i]) for i, probs in enumerate(parts)], dim=1)

    def sample(self) -> dict[str, Any]:
        """One rollout; the columns of the buffer, env-major."""
        model = self.model
        model.collect_rollouts(model.env, self._callback, model.rollout_buffer, model.n_steps)
        buffer = model.rollout_buffer
        flat = {
            name: buffer.swap_and_flatten(np.array(getattr(buffer, name)))
            for name in ("actions", "rewards", "values", "log_probs", "advantages", "returns", "action_masks")
        }
        flat["observations"] = {key: buffer.swap_and_flatten(np.array(v)) for key, v in buffer.observations.items()}
        return flat

    def update(self) -> dict[str, float]:
        """``MaskablePPO.train``; what it logged."""
        with mock.patch("numpy.random.permutation", self._permutations.permutation):
            self.model.train()
        return dict(self.model.logger.name_to_value)

    def parameters(self) -> dict[str, torch.Tensor]:
        return {name: p.detach() for name, p in self.model.policy.network.named_parameters()}


class RllibSide:
    """`ExactEnvRunner` and `ExactPPOLearner` on the same task; no Ray is started."""

    def __init__(self, action_space: spaces.Space, seed: int = 3, **ppo: Any) -> None:
        self.config = config(action_space, seed, **ppo)
        self.runner = self.config.env_runner_cls(config=self.config, worker_index=0)
        self.learner = self.config.build_learner(env=None, spaces=self.runner.get_spaces())
        uniforms, permutations = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2])
        if isinstance(self.runner, ExactEnvRunner):
            self.runner.uniforms[AGENT] = lambda rows, columns: uniforms.random((rows, columns))
        self.learner.permutation_source = lambda _, n: permutations.permutation(n)

    def sample(self) -> dict[str, Any]:
        """One rollout; the learner's batch of it."""
        learner = self.learner
        episodes = self.runner.sample()
        batch = learner._learner_connector(
            rl_module=learner.module, batch={}, episodes=episodes, shared_data={}, metrics=learner.metrics
        )
        self._batch = MultiAgentBatch({AGENT: SampleBatch(batch[AGENT])}, len(batch[AGENT]["rewards"]))
        return batch[AGENT]

    def update(self) -> None:
        self.learner.update(
            batch=self._batch, num_epochs=self.config.num_epochs, minibatch_size=self.config.minibatch_size
        )
        self.runner.set_state({"rl_module": self.learner.get_state(components="rl_module")["rl_module"]})

    def parameters(self) -> dict[str, torch.Tensor]:
        return {name: p.detach() for name, p in self.learner.module[AGENT].network.named_parameters()}


def _agent_is_module(agent: str, *_: Any, **__: Any) -> str:
    return agent


def config(action_space: spaces.Space, seed: int = 3, **ppo: Any) -> PPOConfig:
    ppo = PPO | ppo
    options = {name: ppo[name] for name in ("normalize_advantage", "target_kl", "clip_range_vf")}
    register_env("parity-test-walk", lambda given: SingleAgentAsMultiAgent(MaskedEnv(Walk(given["space"])), AGENT))
    return (
        PPOConfig()
        .environment("parity-test-walk", env_config={"space": action_space}, disable_env_checking=True)
        .env_runners(
            env_runner_cls=ExactEnvRunner,
            num_env_runners=0,
            num_envs_per_env_runner=N_ENVS,
            rollout_fragment_length=ppo["n_steps"],
            episodes_to_numpy=False,
        )
        .learners(learner_class=RecordingLearner, learner_config_dict={"adam_eps": 1e-5, **options})
        .training(
            train_batch_size_per_learner=N_ENVS * ppo["n_steps"],
            minibatch_size=ppo["batch_size"],
            num_epochs=ppo["n_epochs"],
            lr=ppo["learning_rate"],
            gamma=ppo["gamma"],
            lambda_=ppo["gae_lambda"],
            clip_param=ppo["clip_range"],
            entropy_coeff=ppo["ent_coef"],
            vf_loss_coeff=ppo["vf_coef"],
            grad_clip=ppo["max_grad_norm"],
            grad_clip_by="global_norm",
            vf_clip_param=float("inf"),
            use_kl_loss=False,
        )
        .multi_agent(policies={AGENT}, policy_mapping_fn=_agent_is_module)
        .rl_module(
            rl_module_spec=MultiRLModuleSpec(
                rl_module_specs={
                    AGENT: RLModuleSpec(
                        module_class=SharedNetworkModule, model_config={"network": Network, "seed": seed}
                    )
                }
            )
        )
        .debugging(seed=seed)
    )


def difference(a: Any, b: Any) -> float:
    """Largest absolute difference of two arrays or tensors of one shape."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    assert a.shape == b.shape, f"{a.shape} and {b.shape}"
    return float(np.abs(a - b).max(initial=0.0))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
