"""MaskablePPO in lockstep: its own rollouts and updates, with actions and permutations from given streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from parity.capture.lockstep_common import GOING, TERMINATED, TRUNCATED, Length, Rollout, Streams
from parity.frameworks.base import SEED_STRIDE
from parity.frameworks.randomness import seeded
from parity.frameworks.sampling import draw, margins
from parity.frameworks.sb3 import build_model, vec_env
from parity.task import Task
from parity.task.masks import choices

# Below, a probability is what a mask leaves.
IMPOSSIBLE = 1e-12


class Sb3Side:
    """SB3's side: ``collect_rollouts`` and ``train`` as ``MaskablePPO.learn`` calls them.

    Args:
        task: the task; its ``sb3_model`` serves where it has one.
        length: of a rollout and, where it says so, of an update.
        streams: where actions and permutations come from.
        on_step: called after every optimiser step.
        seed: of the environments and the initial weights.

    Attributes:
        margins: of the last rollout's actions, float64 ``[T, E]``, see `parity.frameworks.sampling.margins`.
    """

    def __init__(
        self,
        task: Task,
        length: Length,
        streams: Streams,
        on_step: Callable[[], None],
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self._streams = streams
        env = vec_env(task, length.n_envs)
        self.model: Any = build_model(task, env, seed, device)
        self.model.set_logger(Logger(folder=None, output_formats=[]))
        # As a trial seeds it: after MaskablePPO.__init__, which seeds the environments too.
        env.seed(seed * SEED_STRIDE)
        model = self.model
        if length.minibatches is not None:
            model.batch_size, model.n_epochs = length.minibatches
        model.n_steps = model.rollout_buffer.buffer_size = length.n_steps
        self.sizes = choices(model.action_space)
        self.margins = np.zeros((length.n_steps, length.n_envs))
        self._uniforms = np.zeros((length.n_steps, length.n_envs, len(self.sizes)))
        self._watch = _Watch()
        self.largest_log_prob = 0.0
        self._callback: BaseCallback | None = None
        distribution = model.policy.action_dist
        distribution.sample = lambda: self._sample(distribution)
        model.policy.optimizer.register_step_post_hook(lambda *_: on_step())

    @property
    def parameters(self) -> dict[str, torch.Tensor]:
        return {name: p.detach() for name, p in self.model.policy.named_parameters()}

    def _sample(self, distribution: Any) -> torch.Tensor:
        parts = getattr(distribution, "distributions", None) or [distribution.distribution]
        probs = torch.cat([part.probs for part in parts], dim=-1)
        step = len(self._watch.rewards)
        uniforms = torch.as_tensor(self._uniforms[step])
        played = probs[probs > IMPOSSIBLE]
        self.largest_log_prob = max(self.largest_log_prob, -float(played.min().log()))
        self.margins[step] = margins(probs, uniforms, self.sizes).cpu().numpy()
        return draw(probs, uniforms.to(probs.device), self.sizes)

    def sample(self, iteration: int) -> Rollout:
        """One rollout. What else draws from global generators does so as on the port's side."""
        model, watch = self.model, self._watch
        steps, rows, k = self._uniforms.shape
        self._uniforms = self._streams.uniforms(iteration, steps, rows, k)
        watch.clear()
        with seeded(self._streams.seed, iteration + 1):
            if self._callback is None:
                _, self._callback = model._setup_learn(2**62, callback=watch)
            if not model.collect_rollouts(model.env, self._callback, model.rollout_buffer, steps):
                raise RuntimeError("MaskablePPO.collect_rollouts stopped early")
        buffer = model.rollout_buffer
        return Rollout(
            # `train` writes the flattened arrays into the same dict.
            observations=dict(buffer.observations) if isinstance(buffer.observations, dict) else buffer.observations,
            masks=buffer.action_masks.reshape(steps, rows, -1).astype(bool),
            actions=buffer.actions.reshape(steps, rows, -1).astype(np.int64),
            values=buffer.values,
            log_probs=buffer.log_probs,
            advantages=buffer.advantages,
            targets=buffer.returns,
            rewards=np.stack(watch.rewards),
            ends=np.stack(watch.ends),
        )

    def update(self, iteration: int) -> None:
        """One update over the last rollout."""
        with seeded(self._streams.seed, iteration + 1):
            np.random.seed(self._streams.permutations_seed(iteration))
            self.model.train()

    def close(self) -> None:
        self.model.env.close()


class _Watch(BaseCallback):
    """Keeps rewards and ends as the environment gave them; the buffer adds bootstrap values to the rewards."""

    def __init__(self) -> None:
        super().__init__()
        self.clear()

    def clear(self) -> None:
        self.rewards: list[np.ndarray] = []
        self.ends: list[np.ndarray] = []

    def _on_step(self) -> bool:
        self.rewards.append(np.array(self.locals["rewards"], dtype=np.float32))
        truncated = [info.get("TimeLimit.truncated", False) for info in self.locals["infos"]]
        self.ends.append(
            np.where(self.locals["dones"], np.where(truncated, TRUNCATED, TERMINATED), GOING).astype(np.int8)
        )
        return True
