"""Rung 9's runner: SB3 and a port stay together for whole iterations, and part where one of them is disturbed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from parity_envs.tiles.task import tiles, tiles_time_limit
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from stable_baselines3 import PPO
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from parity import PPOParams, Task
from parity.capture.lockstep_common import TERMINATED, TRUNCATED, Length, Streams
from parity.capture.rllib.lockstep import LockstepRun, lockstep
from parity.capture.rllib.pairing import ROWS
from parity.capture.rllib.side import PortSide
from parity.capture.sb3.lockstep import Sb3Side
from parity.frameworks import hyperparameters
from parity.frameworks.randomness import seeded
from parity.frameworks.rllib import Rllib
from parity.frameworks.rllib.exact.framework import RllibExact
from parity.frameworks.sampling import draw
from parity.frameworks.shown import APART
from parity.ladder.divergence import Divergence, diverge, mean_returns
from parity.ladder.tolerances import CPU
from parity.results.capture import Context, Lockstep
from parity.testing.toy_envs import SMALL, Maze, maze_task

SHORT = Length(iterations=3, n_envs=3, n_steps=16, minibatches=(13, 2))
MINIBATCHES = 8  # of an iteration: 48 rows in pieces of 13, twice


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(task: Task, length: Length = SHORT, disturb: Callable[[LockstepRun], None] = lambda _: None) -> Lockstep:
    """As `lockstep`, with something done to one side before the first iteration; exceptions are not caught."""
    capture = Lockstep(asked=length.iterations)
    both = LockstepRun(task, RllibExact().port(task, 0, "cpu"), length)
    disturb(both)
    for _ in range(length.iterations):
        both.iterate()
    both.store(capture)
    both.close()
    return capture


def parted(capture: Lockstep) -> Divergence:
    divergence = diverge(capture, CPU)
    assert divergence.parted is not None
    return divergence


# --- it holds ---------------------------------------------------------------------------------------------------------


def test_tiles_holds():
    """Two agents, one of which has a single action."""
    capture = run(tiles, dataclasses.replace(Length.short(tiles), iterations=2))
    divergence = diverge(capture, CPU)
    assert divergence.parted is None, divergence.parted
    assert (divergence.iterations, divergence.minibatches) == (2, 36)
    np.testing.assert_array_equal(capture.sb3.actions, capture.port.actions)
    assert (mean_returns(capture.sb3) == mean_returns(capture.port)).all()
    assert np.ptp(capture.sb3.actions) > 4 and np.ptp(capture.sb3.rewards) > 0


def test_a_truncating_multi_agent_environment_holds():
    capture = run(tiles_time_limit, dataclasses.replace(Length.short(tiles_time_limit), iterations=2))
    assert {TERMINATED, TRUNCATED} <= set(np.unique(capture.sb3.ends))
    assert diverge(capture, CPU).parted is None


class OwnModule(TorchRLModule, ValueFunctionAPI):
    """The maze's network as a user writes it: other names, RLlib's own distribution, additive masks."""

    def setup(self) -> None:
        self.encoder = nn.Linear(4, 16)
        self.pi, self.vf = nn.Linear(16, int(self.action_space.n)), nn.Linear(16, 1)

    def _features(self, batch: dict[str, Any]) -> torch.Tensor:
        obs = batch[Columns.OBS]
        return torch.tanh(self.encoder(torch.cat([obs["state"], obs["last"].float().reshape(-1, 1)], dim=-1)))

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        mask = batch[Columns.OBS]["action_mask"].float()
        logits = self.pi(self._features(batch)) + torch.clamp(torch.log(mask), min=-3.4e38)
        return {Columns.ACTION_DIST_INPUTS: logits}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(self._features(batch)).squeeze(-1)


class OwnMaze(Maze):
    """Observes in the order in which `OwnModule` and the shared network put the parts together."""

    def __init__(self) -> None:
        super().__init__()
        parts = self.observation_space.spaces
        self.observation_space = spaces.Dict([("state", parts["state"]), ("last", parts["last"])])


class OwnNet(nn.Module):
    def __init__(self, observation_space: spaces.Dict, action_space: spaces.Discrete) -> None:
        super().__init__()
        self.hidden = nn.Linear(4, 16)
        self.policy, self.value = nn.Linear(16, int(action_space.n)), nn.Linear(16, 1)

    def forward(self, obs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        features = torch.tanh(self.hidden(torch.cat([obs["state"], obs["last"].float().unsqueeze(-1)], dim=-1)))
        return self.policy(features), self.value(features).squeeze(-1)


def test_a_module_with_other_names_and_mask_arithmetic_holds():
    divergence = diverge(run(maze_task(env=OwnMaze, network=OwnNet, rllib_module=OwnModule)), CPU)
    assert divergence.parted is None, divergence.parted
    assert divergence.first_bit is not None, "its log-probs differ in the last bit, which the tolerance is for"


def test_every_hyperparameter_of_the_task_reaches_both_sides():
    ppo = PPOParams(
        n_envs=3, n_steps=16, batch_size=13, n_epochs=4, learning_rate=2e-3, gamma=0.9, gae_lambda=0.8, clip_range=0.1,
        clip_range_vf=0.05, ent_coef=0.02, vf_coef=0.7, max_grad_norm=0.3, adam_eps=1e-6, normalize_advantage=False,
        target_kl=1e-4,
    )  # fmt: skip
    task = maze_task(ppo=ppo)
    capture = run(task, Length.whole(task, 3))
    assert diverge(capture, CPU).parted is None
    counts = capture.minibatch_count
    assert (counts[:, 0] == counts[:, 1]).all() and counts.min() < 16, "target_kl ends both updates early"


# --- it breaks where something is disturbed ---------------------------------------------------------------------------


def test_a_changed_permutation_is_named():
    def disturb(both: LockstepRun) -> None:
        source, calls = both.port.learner.permutation_source, []

        def changed(module_id: str, n: int) -> np.ndarray:
            calls.append(n)
            order = source(module_id, n)
            # The second epoch of iteration 1: two rows of its second and third minibatch change places.
            if len(calls) == 4:
                order[[14, 27]] = order[[27, 14]]
            return order

        both.port.learner.permutation_source = changed

    divergence = parted(run(maze_task(), disturb=disturb))
    place = divergence.parted
    assert (place.iteration, place.quantity, place.minibatch) == (1, "parameter", 5)
    assert divergence.origin == "difference" and divergence.minibatches == MINIBATCHES + 5


def test_a_changed_reward_is_named_with_both_values():
    def disturb(both: LockstepRun) -> None:
        env = both.port.runner.env.envs[2].unwrapped
        step, calls = env.step, []

        def changed(action_dict: Any) -> Any:
            calls.append(1)
            observations, rewards, *rest = step(action_dict)
            if len(calls) == 16 + 5 + 1:
                rewards = {agent: reward + 0.25 for agent, reward in rewards.items()}
            return (observations, rewards, *rest)

        env.step = changed

    divergence = parted(run(maze_task(), disturb=disturb))
    place = divergence.parted
    assert (place.iteration, place.quantity, place.step, place.env) == (1, "reward", 5, 2)
    assert place.port == place.sb3 + 0.25 and divergence.origin == "environment"


def test_a_flipped_action_is_named():
    def disturb(both: LockstepRun) -> None:
        source, calls = both.port.runner.uniforms["agent"], []

        def changed(rows: int, sub_actions: int) -> np.ndarray:
            calls.append(1)
            uniforms = source(rows, sub_actions)
            if len(calls) == 16 + 3 + 1:
                uniforms = 1 - uniforms
            return uniforms

        both.port.runner.uniforms["agent"] = changed

    divergence = parted(run(maze_task(), disturb=disturb))
    place = divergence.parted
    assert (place.iteration, place.quantity, place.step) == (1, "action", 3)
    assert divergence.origin == "difference" and place.sb3 != place.port and place.margin > 1e-3


def test_another_learning_rate_is_a_difference_from_the_first_minibatch_on():
    def faster(config: PPOConfig) -> PPOConfig:
        return config.training(lr=config.lr * 1.001)

    divergence = parted(run(maze_task(rllib_config=faster)))
    assert (divergence.parted.iteration, divergence.parted.quantity, divergence.parted.minibatch) == (0, "parameter", 0)
    assert divergence.origin == "difference"


def test_weights_that_do_not_reach_the_env_runner_are_a_difference():
    def disturb(both: LockstepRun) -> None:
        both.port.synchronise = lambda: None

    divergence = parted(run(maze_task(), disturb=disturb))
    assert (divergence.parted.iteration, divergence.parted.quantity, divergence.parted.step) == (1, "value", 0)
    assert divergence.origin == "difference"


def test_an_environment_that_is_not_seeded_parts_at_its_first_observation():
    class Unseeded(Maze):
        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            return super().reset(seed=None if seed is None else np.random.SeedSequence().entropy % 2**31)

    divergence = parted(run(maze_task(env=Unseeded)))
    assert (divergence.parted.iteration, divergence.parted.step, divergence.parted.quantity) == (0, 0, "observation")
    assert divergence.origin == "environment"


def test_the_last_bit_of_a_weight_is_named_as_float_noise():
    """A learning rate at which it has grown beyond the tolerance after some 160 minibatches."""
    ppo = dataclasses.replace(SMALL, learning_rate=0.03)

    def disturb(both: LockstepRun) -> None:
        weight = both.port.parameters["network.hidden.weight"]
        before = weight[0, 0].item()
        weight[0, 0] += 1e-8 if abs(before) < 0.1 else 3e-8
        assert 0 < abs(weight[0, 0].item() - before) < 1e-7
        both.port.synchronise()

    capture = run(maze_task(ppo=ppo), dataclasses.replace(SHORT, iterations=7, minibatches=(8, 6)), disturb)
    divergence = parted(capture)
    assert divergence.origin == "float noise"
    assert divergence.first_bit.iteration == 0 and divergence.first_bit.difference < 1e-6
    assert divergence.minibatches > 2 * 36


# --- it cannot be run, and says why -----------------------------------------------------------------------------------


class OwnRunner(MultiAgentEnvRunner):
    pass


class SeparateValue(OwnModule):
    def setup(self) -> None:
        super().setup()
        self.critic = nn.Linear(16, 16)

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        return self.vf(self.critic(self._features(batch))).squeeze(-1)


class Twins(MultiAgentEnv):
    """Two mazes side by side, one agent in each."""

    def __init__(self) -> None:
        super().__init__()
        self.mazes = {"left": Maze("obs"), "right": Maze("obs")}
        self.possible_agents = self.agents = list(self.mazes)
        self.observation_spaces = {agent: maze.observation_space for agent, maze in self.mazes.items()}
        self.action_spaces = {agent: maze.action_space for agent, maze in self.mazes.items()}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return {agent: maze.reset(seed=seed)[0] for agent, maze in self.mazes.items()}, {}

    def step(self, action_dict: dict[str, Any]) -> Any:
        played = {agent: maze.step(action_dict[agent]) for agent, maze in self.mazes.items()}
        observations, rewards, ends = ({agent: step[i] for agent, step in played.items()} for i in range(3))
        return observations, rewards, {"__all__": ends["left"]}, {"__all__": False}, {}


class Turns(Twins):
    """Only one of them sees something, and acts, at a time."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.turn = 0
        observations, infos = super().reset(seed=seed)
        return {"left": observations["left"]}, infos

    def step(self, action_dict: dict[str, Any]) -> Any:
        (agent,) = action_dict
        self.turn += 1
        observation, reward, over, *_ = self.mazes[agent].step(action_dict[agent])
        other = "right" if agent == "left" else "left"
        shown = {other: self.mazes[other]._view()[0]} | ({agent: observation} if over else {})
        return shown, {agent: reward}, {"__all__": over}, {"__all__": False}, {}


def shared(config: PPOConfig) -> PPOConfig:
    spec = MultiRLModuleSpec(rl_module_specs={"left": config.rl_module_spec.rl_module_specs["left"]})
    return config.rl_module(rl_module_spec=spec).multi_agent(
        policies={"left"}, policy_mapping_fn=lambda *_, **__: "left", policies_to_train=["left"]
    )


@pytest.mark.parametrize(
    ("framework", "task", "reason"),
    [
        (Rllib, maze_task(), "PPOTorchLearner normalises advantages over the train batch"),
        (
            RllibExact,
            maze_task(rllib_config=lambda config: config.env_runners(env_runner_cls=OwnRunner)),
            "the port's own OwnRunner samples rollouts of another length",
        ),
        (RllibExact, maze_task(rllib_module=SeparateValue), "the networks have other parameters"),
        (
            RllibExact,
            maze_task(multi_agent_env=Twins, learning_agent="left", rllib_config=shared),
            "acts 6 times in a step of 3 sub-environments",
        ),
        (RllibExact, maze_task(multi_agent_env=Turns, learning_agent="left"), "acts "),
    ],
    ids=["stock", "own_env_runner", "other_parameters", "shared_module", "turns"],
)
def test_a_port_that_cannot_be_in_step_says_why(framework, task, reason):
    context = Context()
    capture = lockstep(context, task, framework().port(task, 0, "cpu"), SHORT)
    assert reason in capture.reason
    assert not context.raised and capture.iterations == 0


def test_what_raises_is_noted_and_the_iterations_before_it_are_kept():
    class Breaks(Maze):
        steps = 0

        def step(self, action: Any) -> Any:
            type(self).steps += 1
            # Parameters are paired on what the environment shows, before the first iteration.
            if self.steps > ROWS * APART + 2 * SHORT.n_envs * SHORT.n_steps + 40:
                raise RuntimeError("no more today")
            return super().step(action)

    task = maze_task(env=Breaks)
    context = Context()
    capture = lockstep(context, task, RllibExact().port(task, 0, "cpu"), SHORT)
    assert context.raised["lockstep"].message == "no more today"
    assert "Traceback" in context.raised["lockstep"].traceback
    assert capture.iterations == len(capture.sb3.rewards) == 1
    assert diverge(capture, CPU).parted is None


def test_a_run_disturbs_no_generator():
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    task = maze_task()
    lockstep(Context(), task, RllibExact().port(task, 0, "cpu"), dataclasses.replace(SHORT, iterations=1))
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()


# --- capture that must not change -------------------------------------------------------------------------------------


def trained(task: Task, iterations: int = 2) -> dict[str, torch.Tensor]:
    """Parameters of the learning agent's module after updates by rllib-exact alone."""
    length = dataclasses.replace(Length.short(task), iterations=iterations)
    side = PortSide(RllibExact().port(task, 0, "cpu"), length, Streams(0), lambda: None)
    side.synchronise()
    for i in range(iterations):
        side.iterate(i, (length.n_steps, length.n_envs))
    side.close()
    return side.parameters


def test_a_second_agent_with_one_action_changes_no_parameter_of_the_first():
    alone = trained(dataclasses.replace(tiles, multi_agent_env=None))
    beside = trained(tiles)
    assert list(alone) == list(beside)
    before = dict(RllibExact().port(tiles, 0, "cpu").config.rl_module_spec.rl_module_specs)
    assert set(before) == {"tile_selector", "res_selector"}
    for name, parameter in alone.items():
        assert torch.equal(parameter, beside[name]), name


def test_one_agent_in_a_multi_agent_environment_is_the_single_agent_form():
    """RLlib's own runners: the agent mapping, episodes and connectors of several agents change nothing for one."""
    task = maze_task()
    config = Rllib().port(task, 0, "cpu").config.env_runners(num_envs_per_env_runner=1)
    several = MultiAgentEnvRunner(config=config, worker_index=0)
    spec = config.rl_module_spec.rl_module_specs["agent"]
    single_config = (
        PPOConfig()
        .environment(lambda _: Maze("obs"), disable_env_checking=True)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=1, rollout_fragment_length=64)
        .rl_module(rl_module_spec=spec)
        .debugging(seed=config.seed)
    )
    single = SingleAgentEnvRunner(config=single_config, worker_index=0)
    single.module.load_state_dict(several.module["agent"].state_dict())
    columns = []
    for runner in (single, several):
        # The two draw from the global generator in another order; without draws they must agree.
        sampled = runner.sample(num_timesteps=64, explore=False)
        episodes = [getattr(episode, "agent_episodes", {"agent": episode})["agent"].to_numpy() for episode in sampled]
        observed = [episode.get_observations() for episode in episodes]
        columns.append(
            {
                "state": np.concatenate([steps["state"] for steps in observed]),
                "mask": np.concatenate([steps["action_mask"] for steps in observed]),
                "actions": np.concatenate([episode.get_actions() for episode in episodes]),
                "rewards": np.concatenate([episode.get_rewards() for episode in episodes]),
                "logits": np.concatenate([e.get_extra_model_outputs(Columns.ACTION_DIST_INPUTS) for e in episodes]),
                "terminated": np.array([episode.is_terminated for episode in episodes]),
            }
        )
        runner.stop()
    for name, column in columns[0].items():
        np.testing.assert_array_equal(column, columns[1][name], err_msg=name)
    assert len(columns[0]["actions"]) == 64 and np.ptp(columns[0]["actions"]) == 3


class Free(Maze):
    """Every action is legal."""

    def _view(self) -> Any:
        observation, info = super()._view()
        self.mask[:] = True
        return {"state": observation["state"]}, info

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Dict({"state": self.observation_space["state"]})


class TwoTowers(nn.Module):
    """What SB3's MultiInputPolicy builds: a tower of two layers for the policy and one for the value."""

    def __init__(self, observation_space: spaces.Dict, action_space: spaces.Discrete) -> None:
        super().__init__()

        def tower() -> nn.Sequential:
            return nn.Sequential(nn.Linear(3, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())

        self.policy_tower, self.value_tower = tower(), tower()
        self.action, self.value = nn.Linear(64, int(action_space.n)), nn.Linear(64, 1)

    def forward(self, obs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        state = obs["state"]
        return self.action(self.policy_tower(state)), self.value(self.value_tower(state)).squeeze(-1)


def test_masks_of_ones_make_maskable_ppo_plain_ppo():
    """SB3's PPO with its own ActorCriticPolicy, and the masked policy, from the same weights and streams."""
    ppo = dataclasses.replace(SMALL, n_steps=24, n_epochs=3)
    task = maze_task(env=Free, network=TwoTowers, ppo=ppo)
    streams, length = Streams(0), Length.whole(task, 2)
    masked = Sb3Side(task, length, streams, lambda: None)
    plain = PPO(
        "MultiInputPolicy",
        DummyVecEnv([Free] * ppo.n_envs),
        seed=0,
        device="cpu",
        **hyperparameters.to_sb3(ppo),
    )
    plain.set_logger(configure(None, []))
    plain.env.seed(0)
    theirs = list(plain.policy.parameters())
    ours = list(masked.parameters.values())
    assert [p.shape for p in theirs] == [p.shape for p in ours]
    with torch.no_grad():
        for mine, parameter in zip(theirs, ours, strict=True):
            mine.copy_(parameter)
    _, callback = plain._setup_learn(2**62)
    distribution = plain.policy.action_dist
    for iteration in range(2):
        uniforms = iter(torch.as_tensor(streams.uniforms(iteration, ppo.n_steps, ppo.n_envs, 1)))
        distribution.sample = lambda uniforms=uniforms: draw(distribution.distribution.probs, next(uniforms), [4])
        plain.collect_rollouts(plain.env, callback, plain.rollout_buffer, ppo.n_steps)
        rollout = masked.sample(iteration)
        assert (plain.rollout_buffer.actions.reshape(rollout.actions.shape) == rollout.actions).all()
        for name, column in (
            ("values", rollout.values),
            ("advantages", rollout.advantages),
            ("returns", rollout.targets),
        ):
            np.testing.assert_allclose(getattr(plain.rollout_buffer, name), column, rtol=1e-5, atol=1e-6, err_msg=name)
        assert rollout.masks.all()
        with seeded(0):
            np.random.seed(streams.permutations_seed(iteration))
            plain.train()
        masked.update(iteration)
    for mine, parameter in zip(theirs, ours, strict=True):
        distance = float((mine.detach() - parameter).norm())
        assert distance <= 1e-5 * float(parameter.norm()) + 1e-7
    masked.close()
