"""A `PPOConfig`, the dict that is given to Tune, or a function with the last word: each is taken as it is."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from ports import HelperModule, OwnModule, Pair, opened, port, refusal
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.connectors.env_to_module import MeanStdFilter
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.tune.registry import register_env

from parity import Task, frameworks
from parity.frameworks.evaluation import evaluate
from parity.frameworks.network import weights_hash
from parity.frameworks.rllib.config import build_port, make_env
from parity.testing.toy_envs import SMALL, Maze, maze_task

pytestmark = pytest.mark.usefixtures("ray_started")


def test_a_function_has_the_last_word_on_the_configuration() -> None:
    effective = frameworks.get("rllib").effective(
        maze_task(rllib_config=lambda config: config.training(lr=0.5).env_runners(num_env_runners=2)), "cpu", 1
    )
    assert effective.hyperparameters["learning_rate"] == 0.5
    assert effective.hyperparameters["n_envs"] == 2 * SMALL.n_envs
    assert effective.processes == 3 and effective.bundles == [{"CPU": 1.0}] * 3


def test_a_function_may_change_the_environment() -> None:
    register_env("pair-of-a-function", lambda _: Pair())
    built = port(learning_agent="agent", rllib_config=lambda config: config.environment(disable_env_checking=True))
    assert list(built.agents) == ["agent"]

    def swap(config: PPOConfig) -> PPOConfig:
        names = {"walker", "helper"}
        specs = {name: RLModuleSpec(module_class=OwnModule) for name in names}
        return (
            config.environment("pair-of-a-function")
            .multi_agent(policies=names, policies_to_train=["walker"])
            .rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))
        )

    built = port(rllib_config=swap)
    assert built.learning_agent == "walker" and list(built.agents) == ["walker", "helper"]


def whole(env: Any = "brought-pair") -> PPOConfig:
    """A finished configuration as a port has it; both agents play the module ``shared``."""
    register_env("brought-pair", lambda _: Pair(4))
    return (
        PPOConfig()
        .environment(env, disable_env_checking=True)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=3, rollout_fragment_length=10)
        .training(train_batch_size_per_learner=30, minibatch_size=15, num_epochs=1, lr=0.25, gamma=0.5)
        .multi_agent(
            policies={"first", "second"},
            policy_mapping_fn=lambda agent_id, episode, **_: (
                "first" if episode.id_ and agent_id == "walker" else "second"
            ),
        )
        .rl_module(
            rl_module_spec=MultiRLModuleSpec(
                rl_module_specs={
                    "first": RLModuleSpec(module_class=OwnModule),
                    "second": RLModuleSpec(module_class=HelperModule),
                }
            )
        )
    )


def scalars(config: PPOConfig) -> dict[str, Any]:
    return {key: value for key, value in config.to_dict().items() if isinstance(value, bool | int | float | str)}


def test_a_finished_configuration_is_taken_whole_except_for_the_seed() -> None:
    given = whole()
    before = copy.deepcopy(scalars(given))
    built = build_port(maze_task(rllib_config=given, learning_agent="walker"), seed=2, device="cpu")
    assert scalars(given) == before
    taken = scalars(built.config)
    assert taken.pop("seed") == 2_000
    assert taken == {key: value for key, value in before.items() if key != "seed"}


def test_the_learning_module_is_what_the_mapping_gives_the_learning_agent() -> None:
    built = port(rllib_config=whole(), learning_agent="walker")
    assert built.learning_module == "first" and not built.is_reference_module


def test_the_dict_that_is_given_to_tune_is_taken_as_the_configuration() -> None:
    given = whole().to_dict()
    built = port(rllib_config=given, learning_agent="walker")
    assert (built.config.lr, built.config.gamma, built.config.minibatch_size) == (0.25, 0.5, 15)
    assert built.learning_module == "first"


def test_a_finished_configuration_trains() -> None:
    config = whole().multi_agent(policies_to_train=["first"])
    with opened(
        maze_task(rllib_config=config, network=None, sb3_model=lambda *_: None, learning_agent="walker")
    ) as session:
        session.train(30, lambda _: None)
        assert session.sampling_masks().decisions >= 60


def test_a_configuration_without_environment_gets_the_tasks() -> None:
    built = port(rllib_config=whole(env=None), multi_agent_env=lambda: Pair(4), learning_agent="walker")
    assert built.config.env is not None and list(built.agents) == ["walker", "helper"]


def weights_after(task: Task, evaluations: int) -> str:
    """The trained weights, with or without the policy being played in between."""
    with opened(task) as session:
        eval_runner = session.eval_runner(3)

        def look(_: Any) -> None:
            for _ in range(evaluations):
                evaluate(eval_runner, 20, deterministic=False)

        session.train(96, look)
        return weights_hash(session.weights())


def test_a_connectors_statistics_are_part_of_the_policy_that_is_evaluated_and_restored(tmp_path: Path) -> None:
    def normalised(config: PPOConfig) -> PPOConfig:
        return config.env_runners(env_to_module_connector=lambda *_, **__: MeanStdFilter(multi_agent=True))

    class Flat(OwnModule):
        """The filter normalises the whole observation; the mask is what remains positive."""

        def setup(self) -> None:
            self.pi, self.vf = torch.nn.Linear(2, 4), torch.nn.Linear(2, 1)

        def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
            return {"action_dist_inputs": self.pi(batch["obs"])}

        def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
            return self.vf(batch["obs"]).squeeze(-1)

    class Plain(MultiAgentEnv):
        def __init__(self) -> None:
            super().__init__()
            self.possible_agents = self.agents = ["agent"]
            self.observation_spaces = {"agent": spaces.Box(-1e3, 1e3, (2,), np.float32)}
            self.action_spaces = {"agent": spaces.Discrete(4)}

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            if seed is not None:
                self.rng = np.random.default_rng(seed)
            self.t = 0
            return self._see(), {}

        def _see(self) -> Any:
            self.seen = self.rng.normal(100, 50, 2).astype(np.float32)
            return {"agent": self.seen}

        def step(self, action_dict: dict[str, Any]) -> Any:
            self.t += 1
            reward = float(action_dict["agent"] == (self.seen[0] > 100))
            return self._see(), {"agent": reward}, {"__all__": self.t == 5}, {"__all__": False}, {}

    task = maze_task(multi_agent_env=Plain, rllib_module=Flat, rllib_config=normalised)
    with opened(task) as session:
        session.train(64, lambda _: None)
        eval_runner = session.eval_runner(3)
        played = evaluate(eval_runner, 20, deterministic=True)
        assert evaluate(eval_runner, 20, deterministic=True).returns.tolist() == played.returns.tolist()
        session.save(tmp_path / "checkpoint")
    assert weights_after(task, evaluations=1) == weights_after(task, evaluations=0)
    restored = frameworks.get("rllib").restore(task, tmp_path / "checkpoint", slots=3)
    assert evaluate(restored, 20, deterministic=True).returns.tolist() == played.returns.tolist()
    weights = restored._state()["rl_module"]  # type: ignore[attr-defined]
    fresh = frameworks.get("rllib").open(task, 0, "cpu", 1).eval_runner(3)
    fresh._state = lambda: {"rl_module": weights}  # type: ignore[attr-defined]
    assert evaluate(fresh, 20, deterministic=True).returns.tolist() != played.returns.tolist()


def test_a_single_agent_environment_is_the_only_agent_and_its_truncations_are_no_terminations() -> None:
    register_env("cut-short", lambda _: TimeLimit(Maze("obs"), 1))
    config = PPOConfig().environment("cut-short").rl_module(rl_module_spec=RLModuleSpec(module_class=OwnModule))
    built = port(rllib_config=config)
    assert (built.learning_agent, built.learning_module) == ("agent", "agent")
    env = make_env(built.config)
    seen, _ = env.reset(seed=0)
    assert env.get_observation_space("agent") == Maze("obs").observation_space
    _, _, terminateds, truncateds, _ = env.step({"agent": int(seen["agent"]["action_mask"].argmax())})
    assert truncateds["__all__"] and not terminateds["__all__"]


BAD_CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "returns nothing": ({"rllib_config": lambda config: None}, "rllib_config returned NoneType; return the PPOConfig"),
    "a class": ({"rllib_config": PPOConfig}, "rllib_config is the class PPOConfig; give a function"),
    "a number": ({"rllib_config": 3}, "rllib_config is a int; give a function"),
    "an unknown field": (
        {"rllib_config": {"num_sgd_iter": 1}},
        "rllib_config has 'num_sgd_iter', no field of the PPOConfig",
    ),
    "a deprecated field": (
        {"rllib_config": {"num_rollout_workers": 1}},
        "rllib_config: ValueError: `num_rollout_workers` has been deprecated. Use",
    ),
    "no environment": ({"rllib_config": PPOConfig()}, "rllib_config has no env: set config.environment(...)"),
    "an unknown environment": (
        {"rllib_config": PPOConfig().environment("no-such-env")},
        "rllib_config: env no-such-env cannot be made: ",
    ),
    "a single agent by a function": (
        {"rllib_config": lambda config: config.environment("CartPole-v1")},
        "rllib_config trains the single-agent environment",
    ),
    "the old stack": (
        {
            "rllib_config": lambda config: config.api_stack(
                enable_rl_module_and_learner=False, enable_env_runner_and_connector_v2=False
            )
        },
        "rllib_config is on RLlib's old API stack",
    ),
    "a module beside it": (
        {"rllib_config": whole(), "rllib_module": OwnModule},
        "put rllib_module and other_modules into its rl_module(...)",
    ),
}


@pytest.mark.parametrize(("fields", "says"), BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_a_configuration_that_cannot_be_used_is_one_sentence(fields: dict[str, Any], says: str) -> None:
    assert says in refusal(**fields)


def test_what_a_ports_function_raises_is_the_ports_own_error() -> None:
    def bad(config: PPOConfig) -> PPOConfig:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        port(rllib_config=bad)
