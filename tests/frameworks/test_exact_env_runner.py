"""`rllib-exact` samples what Stable-Baselines3's ``DummyVecEnv`` samples: the env runner, and the whole inside Algorithm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exact_sides import AGENT, N_ENVS, SPACES, RllibSide, Sb3Side, Walk, config, one_thread
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from parity.frameworks.rllib.exact.env_runner import ExactEnvRunner
from parity.frameworks.rllib.exact.learner import ExactPPOLearner
from parity.frameworks.rllib.module import FlatNetwork, SharedNetworkModule

STEPS = 13


class TwoAgents(MultiAgentEnv):
    """Two agents with a counter to see, at once or in turns; ends after `length` steps, terminated or truncated."""

    def __init__(self, turns: bool = False, length: int = 5, truncates: bool = False, flags: str = "__all__") -> None:
        super().__init__()
        self.turns, self.length, self.truncates, self.flags = turns, length, truncates, flags
        self.possible_agents = self.agents = ["left", "right"]
        box = spaces.Dict(
            {"observations": spaces.Box(-1, 1000, (2,), np.float32), "action_mask": spaces.Box(0, 1, (3,), np.int8)}
        )
        self.observation_spaces = dict.fromkeys(self.agents, box)
        self.action_spaces = dict.fromkeys(self.agents, spaces.Discrete(3))
        self._buffer = np.zeros(2, np.float32)

    def _observe(self, everyone=False):
        # The same array every time: whoever keeps it without a copy keeps the last one.
        self._buffer[:] = self.t, self.episode
        seen = {"observations": self._buffer, "action_mask": np.array([1, 0, 1], np.int8)}
        if everyone or not self.turns:
            return dict.fromkeys(self.agents, seen)
        return {self.agents[self.t % 2]: seen}

    def reset(self, *, seed=None, options=None):
        self.t, self.episode = 0, getattr(self, "episode", -1) + 1
        return self._observe(), {}

    def step(self, action_dict):
        assert set(action_dict) == ({self.agents[self.t % 2]} if self.turns else set(self.agents))
        self.t += 1
        done = self.t >= self.length
        names = [*self.agents, "__all__"] if self.flags == "every" else ["__all__"]
        ended = dict.fromkeys(names, done)
        going = dict.fromkeys(names, False)
        terminated, truncated = (going, ended) if self.truncates else (ended, going)
        rewards = {agent: float(self.t) for agent in self.agents}
        return self._observe(everyone=done), rewards, terminated, truncated, {}


def two_agents(train=("left", "right"), **env):
    spec = RLModuleSpec(module_class=SharedNetworkModule, model_config={"network": FlatNetwork, "seed": 0})
    return (
        config(SPACES["discrete"])
        .environment(lambda _: TwoAgents(**env), disable_env_checking=True)
        .multi_agent(policies={"left", "right"}, policies_to_train=list(train))
        .rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs={"left": spec, "right": spec}))
    )


def runner_and_learner(configuration):
    configuration = configuration.learners(learner_class=ExactPPOLearner)
    runner = ExactEnvRunner(config=configuration, worker_index=0)
    return runner, configuration.build_learner(env=None, spaces=runner.get_spaces())


def learner_batch(learner, episodes):
    return learner._learner_connector(
        rl_module=learner.module, batch={}, episodes=episodes, shared_data={}, metrics=learner.metrics
    )


def test_every_sub_environment_gives_exactly_its_steps():
    with one_thread():
        side = RllibSide(SPACES["discrete"])
        for _ in range(3):
            episodes = side.runner.sample()
            per_env = [0] * N_ENVS
            for episode in episodes:
                per_env[episode.custom_data["parity_rollout_order"][1]] += len(episode)
            assert per_env == [STEPS] * N_ENVS
            assert side.runner.get_metrics()["num_env_steps_sampled"].peek() == N_ENVS * STEPS


def test_episodes_go_on_across_rollouts_and_no_two_are_alike():
    """RLlib's `complete_episodes` with a seed restarts every rollout in the same state; sub-environments must differ, too."""
    side = RllibSide(SPACES["discrete"])
    first, second = side.runner.sample(), side.runner.sample()
    unfinished = {episode.id_ for episode in first if not episode.is_done}
    assert unfinished & {episode.id_ for episode in second} == unfinished
    starts = [
        tuple(e.agent_episodes[AGENT].get_observations(0)["vector"]) for e in [*first, *second] if e.env_t_started == 0
    ]
    assert len(starts) > 2 * N_ENVS
    assert len(set(starts)) == len(starts)


def test_seeds_of_two_workers_do_not_overlap():
    """RLlib seeds sub-environment i of worker w with seed + w + i."""
    starts = []
    for worker in (1, 2):
        runner = ExactEnvRunner(config=config(SPACES["discrete"], seed=10), worker_index=worker)
        starts += [e.agent_episodes[AGENT].get_observations(0)["vector"].tolist() for e in _first_episodes(runner)]
    expected = [Walk(SPACES["discrete"]).reset(seed=10 + i)[0]["vector"].tolist() for i in range(2 * N_ENVS)]
    assert starts == expected


def _first_episodes(runner):
    first = {}
    for episode in runner.sample():
        first.setdefault(episode.custom_data["parity_rollout_order"][1], episode)
    return [first[i] for i in range(N_ENVS)]


@pytest.mark.parametrize("flags", ["__all__", "every"])
@pytest.mark.parametrize("truncates", [False, True])
def test_ends_are_those_of_the_environment(flags, truncates):
    """RLlib's episode takes a truncation that is reported for every agent as a termination, and bootstraps nothing."""
    runner, learner = runner_and_learner(two_agents(truncates=truncates, flags=flags))
    batch = learner_batch(learner, runner.sample())
    finished = N_ENVS * (STEPS // 5)
    for agent in ("left", "right"):
        rows = batch[agent]
        assert int(rows["terminateds"].sum()) == (0 if truncates else finished)
        assert int(rows["truncateds"].sum()) == N_ENVS + (finished if truncates else 0)
        ends = (rows["obs"]["observations"][:, 0] == 4).numpy()
        step = rows["rewards"] - rows["vf_preds"]
        last = (rows["advantages"] - step).numpy()[ends]
        assert (np.abs(last) > 1e-3).all() if truncates else (last == 0).all()


def test_simultaneous_agents_each_have_their_rows():
    runner, learner = runner_and_learner(two_agents())
    episodes = runner.sample()
    batch = learner_batch(learner, episodes)
    for agent in ("left", "right"):
        seen = batch[agent]["obs"]["observations"].numpy().reshape(N_ENVS, STEPS, 2)
        assert (seen[:, :, 0] == np.arange(STEPS) % 5).all(), "own copies of the environment's array, env-major"
        assert (seen[:, :, 1] == np.arange(STEPS) // 5).all()
        assert (batch[agent]["rewards"].numpy().reshape(N_ENVS, STEPS) == np.arange(STEPS) % 5 + 1).all()
        assert not (batch[agent]["actions"] == 1).any(), "the masked action"
    assert Columns.VALUES_BOOTSTRAPPED in episodes[0].agent_episodes["left"].extra_model_outputs
    learner.update(episodes=runner.sample(), num_epochs=2, minibatch_size=16)


def test_turns_work_and_waiting_agents_are_bootstrapped():
    runner, learner = runner_and_learner(two_agents(turns=True, length=7))
    for _ in range(3):
        episodes = runner.sample()
        assert sum(len(episode) for episode in episodes) == N_ENVS * STEPS
        batch = learner_batch(learner, episodes)
        for agent, turn in (("left", 0), ("right", 1)):
            rows = batch[agent]
            assert (rows["obs"]["observations"][:, 0] % 2 == turn).all()
            assert np.isfinite(rows["advantages"].numpy()).all()
            ends = (rows["truncateds"] & ~rows["terminateds"]).numpy()
            assert ends.any()
            first = rows["rewards"] - rows["vf_preds"]
            assert ((rows["advantages"] - first).abs().numpy()[ends] > 1e-4).all()
    learner.update(episodes=runner.sample(), num_epochs=2, minibatch_size=16)


def test_only_trained_modules_move_and_carry_values():
    runner, learner = runner_and_learner(two_agents(train=["right"]))
    before = {mid: [p.clone() for p in learner.module[mid].parameters()] for mid in ("left", "right")}
    episodes = runner.sample()
    assert Columns.VF_PREDS not in episodes[0].agent_episodes["left"].extra_model_outputs
    learner.update(episodes=episodes, num_epochs=2, minibatch_size=16)
    moved = {}
    for mid, old in before.items():
        new = learner.module[mid].parameters()
        moved[mid] = any((a != b).any() for a, b in zip(old, new, strict=True))
    assert moved == {"left": False, "right": True}


def test_episodes_to_numpy_changes_nothing():
    batches = []
    for to_numpy in (False, True):
        side = config(SPACES["discrete"]).env_runners(episodes_to_numpy=to_numpy)
        runner, learner = runner_and_learner(side)
        rng = np.random.default_rng(0)
        runner.uniforms[AGENT] = lambda rows, columns, rng=rng: rng.random((rows, columns))
        batches.append(learner_batch(learner, runner.sample())[AGENT])
    for name in ("actions", "advantages", "value_targets", "action_logp"):
        assert (batches[0][name] == batches[1][name]).all(), name


def test_evaluation_by_episodes_is_left_to_rllib():
    side = RllibSide(SPACES["discrete"])
    episodes = side.runner.sample(num_episodes=5, explore=False)
    assert len(episodes) >= 5 and all(episode.is_done for episode in episodes)
    assert sum(len(e) for e in side.runner.sample()) == N_ENVS * STEPS


def test_counting_agent_steps_is_refused():
    counted = config(SPACES["discrete"]).multi_agent(count_steps_by="agent_steps")
    with pytest.raises(ValueError, match='count_steps_by="env_steps"'):
        ExactEnvRunner(config=counted, worker_index=0)


def test_algorithm_trains_in_step_with_sb3():
    """`Algorithm.train()`, its own weight synchronisation and metrics included, with a local learner."""
    with one_thread():
        sb3 = Sb3Side(SPACES["discrete"])
        algorithm = config(SPACES["discrete"]).build_algo()
        try:
            uniforms, permutations = np.random.default_rng([3, 1]), np.random.default_rng([3, 2])
            algorithm.env_runner.uniforms[AGENT] = lambda rows, columns: uniforms.random((rows, columns))
            learner = algorithm.learner_group._learner
            learner.permutation_source = lambda _, n: permutations.permutation(n)
            for i in range(3):
                sb3.sample(), sb3.update()
                result = algorithm.train()
                assert result["env_runners"]["num_env_steps_sampled_lifetime"] == (i + 1) * N_ENVS * STEPS
                ours = dict(learner.module[AGENT].network.named_parameters())
                for name, theirs in sb3.parameters().items():
                    assert float((ours[name].detach() - theirs).norm()) <= 1e-5 * float(theirs.norm()) + 1e-8, name
            assert np.isfinite(result["learners"][AGENT]["policy_loss"])
        finally:
            algorithm.stop()


@pytest.fixture
def local_ray():
    import ray

    # An Algorithm in another test of this process may have started one.
    ray.shutdown()
    # Processes that Ray starts import the helper module of these tests.
    ray.init(num_cpus=4, runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parent)}}, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.slow
def test_remote_learners_see_the_rows_in_the_same_order(local_ray):
    """RLlib sorts episodes by length before it sends them to another process; two learners share the rows and agree."""
    updated = []
    for learners in (0, 1, 2):
        algorithm = (
            config(SPACES["discrete"]).learners(num_learners=learners, learner_class=ExactPPOLearner).build_algo()
        )
        uniforms = np.random.default_rng(1)
        algorithm.env_runner.uniforms[AGENT] = lambda rows, columns, rng=uniforms: rng.random((rows, columns))
        for _ in range(2):
            algorithm.train()
        updated.append(algorithm.learner_group.get_weights()[AGENT])
        algorithm.stop()
    local, one, two = updated
    for name, weights in local.items():
        np.testing.assert_allclose(one[name], weights, rtol=1e-5, atol=1e-7, err_msg=name)
        assert np.isfinite(two[name]).all() and 0 < np.abs(two[name] - weights).max() < 0.05
