"""A port in lockstep: its own env runner and learner, with actions and permutations from given streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ray.rllib.core import COMPONENT_RL_MODULE
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

from parity.capture.lockstep_common import GOING, TERMINATED, TRUNCATED, Length, OutOfStep, Rollout, Streams
from parity.frameworks.base import SEED_STRIDE
from parity.frameworks.randomness import seeded
from parity.frameworks.rllib.arrays import array, by_entry
from parity.frameworks.rllib.config import Port
from parity.frameworks.rllib.env import OBSERVATIONS_KEY
from parity.frameworks.rllib.eval_runner import make_env_runner
from parity.frameworks.rllib.exact.learner import ROLLOUT_ORDER
from parity.task.masks import MASK_KEY, n_logits


class PortSide:
    """The port's side: its env runner's ``sample`` and its learner's ``update``, as PPO's ``training_step`` calls them.

    Attributes:
        runner, learner: RLlib's, as the port's configuration makes them, both local.
    """

    def __init__(self, port: Port, length: Length, streams: Streams, on_step: Callable[[], None]) -> None:
        config = port.config.copy(copy_frozen=False)
        config.num_env_runners = config.num_learners = 0
        # A port may leave its environments unseeded; here they start as SB3's do.
        config.seed = streams.seed * SEED_STRIDE
        config.num_envs_per_env_runner = length.n_envs
        config.rollout_fragment_length = length.n_steps
        config.train_batch_size_per_learner = length.n_envs * length.n_steps
        if length.minibatches is not None:
            config.minibatch_size, config.num_epochs = length.minibatches
        self._port, self._length, self._streams, self._on_step = port, length, streams, on_step
        self.runner: Any = make_env_runner(config)
        self.learner: Any = config.build_learner(env=None, spaces=self.runner.get_spaces())
        self.mask_key = port.mask_key
        self._step = 0
        self._uniforms = np.zeros((0, 0, 0))
        self._permutations = streams.permutations(0)
        self._batch: Any = None
        module = port.learning_module
        self.runner.uniforms[module] = self._draw
        self.learner.permutation_source = self._permutation
        for _, optimizer in self.learner.get_optimizers_for_module(module):
            optimizer.register_step_post_hook(self._stepped)
        make_batch = self.learner._make_batch_if_necessary

        def kept(training_data: Any) -> Any:
            self._batch = make_batch(training_data)
            return self._batch

        self.learner._make_batch_if_necessary = kept

    def _stepped(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        # RLlib also steps optimisers for which a minibatch has no gradients.
        if any(p.grad is not None for group in optimizer.param_groups for p in group["params"]):
            self._on_step()

    @property
    def module(self) -> Any:
        """The learner's module of the learning agent."""
        return self.learner.module[self._port.learning_module].unwrapped()

    @property
    def parameters(self) -> dict[str, torch.Tensor]:
        return {name: p.detach() for name, p in self.module.named_parameters()}

    def synchronise(self) -> None:
        """The env runner gets the learner's weights."""
        state = self.learner.get_state(components=COMPONENT_RL_MODULE)
        self.runner.set_state({COMPONENT_RL_MODULE: state[COMPONENT_RL_MODULE]})

    def _draw(self, rows: int, sub_actions: int) -> np.ndarray:
        steps, envs, k = self._length.n_steps, self._length.n_envs, sub_actions
        if rows != envs:
            raise OutOfStep(
                f"agent {self._port.learning_agent} (module {self._port.learning_module}) acts {rows} times in a step of "
                f"{envs} sub-environments, SB3's acts once in each"
            )
        if self._step == 0:
            self._uniforms = self._streams.uniforms(self._iteration, steps, envs, k)
        self._step += 1
        return self._uniforms[self._step - 1]

    def _permutation(self, module_id: str, n: int) -> np.ndarray:
        if module_id == self._port.learning_module:
            return self._permutations.permutation(n)
        return np.random.permutation(n)

    def iterate(self, iteration: int, shape: tuple[int, ...]) -> Rollout:
        """One rollout and one update over it."""
        self._iteration, self._step = iteration, 0
        with seeded(self._streams.seed, iteration + 1):
            episodes = self.runner.sample()
        ends = self._ends(episodes, shape)
        self._permutations = self._streams.permutations(iteration)
        config = self.learner.config
        with seeded(self._streams.seed, iteration + 1):
            self.learner.update(
                episodes=episodes,
                timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: (iteration + 1) * int(np.prod(shape))},
                num_epochs=config.num_epochs,
                minibatch_size=config.minibatch_size,
                shuffle_batch_per_epoch=config.shuffle_batch_per_epoch,
            )
        self.synchronise()
        return self._rollout(shape, ends)

    def _ends(self, episodes: list[Any], shape: tuple[int, ...]) -> np.ndarray:
        """int8 ``[T, E]``, read before the learner's connectors mark cut episodes as truncated."""
        ends = np.full(shape, GOING, dtype=np.int8)
        filled = [0] * shape[1]
        for episode in sorted(episodes, key=lambda episode: episode.custom_data[ROLLOUT_ORDER]):
            env = episode.custom_data[ROLLOUT_ORDER][1]
            mine = episode.agent_episodes.get(self._port.learning_agent)
            filled[env] += 0 if mine is None else len(mine)
            if mine is None or filled[env] > shape[0]:
                continue
            if episode.is_terminated or mine.is_terminated:
                ends[filled[env] - 1, env] = TERMINATED
            elif episode.is_truncated or mine.is_truncated:
                ends[filled[env] - 1, env] = TRUNCATED
        if filled != [shape[0]] * shape[1]:
            raise OutOfStep(
                f"agent {self._port.learning_agent} took {filled} decisions in its sub-environments' rollouts of "
                f"{shape[0]} steps, SB3's takes one a step"
            )
        return ends

    def _rollout(self, shape: tuple[int, ...], ends: np.ndarray) -> Rollout:
        columns = self._batch[self._port.learning_module]
        rows = len(columns[Columns.REWARDS])
        if rows != np.prod(shape):
            raise ValueError(f"the learner's batch has {rows} rows for {int(np.prod(shape))} decisions")

        def by_step(column: Any) -> np.ndarray:
            """Rows are sub-environment by sub-environment: ``[E * T, …]`` to ``[T, E, …]``."""
            values = array(column)
            return values.reshape(shape[1], shape[0], *values.shape[1:]).swapaxes(0, 1)

        observations = columns[Columns.OBS]
        if not isinstance(observations, dict) and MASK_KEY in columns:
            # RLlib's own ActionMaskingTorchRLModule takes its observations apart in the learner's pipeline.
            observations = {OBSERVATIONS_KEY: observations, MASK_KEY: columns[MASK_KEY]}
        seen = {key: by_step(part) for key, part in by_entry(observations).items()}
        # A port that is shown none takes every action for legal.
        everything = np.ones((*shape, n_logits(self._port.agents[self._port.learning_agent][1])))
        masks = seen.pop(self.mask_key, everything)
        return Rollout(
            observations=seen,
            masks=masks.reshape(*shape, -1).astype(bool),
            actions=by_step(columns[Columns.ACTIONS]).reshape(*shape, -1).astype(np.int64),
            values=by_step(columns[Columns.VF_PREDS]),
            log_probs=by_step(columns[Columns.ACTION_LOGP]),
            advantages=by_step(columns[Postprocessing.ADVANTAGES]),
            targets=by_step(columns[Postprocessing.VALUE_TARGETS]),
            rewards=by_step(columns[Columns.REWARDS]),
            ends=ends,
        )

    def close(self) -> None:
        self.runner.stop()
