"""The single-agent form of the tiles problem: which tile to reveal next."""

from __future__ import annotations

import functools
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray
from parity_envs.tiles.classifier import CODE_SIZE, GRID, N_TILES, TILE_SHAPE, TileClassifier, posterior

Observation = dict[str, Any]

IMAGE_SHAPE = (TILE_SHAPE[0], GRID * TILE_SHAPE[1], GRID * TILE_SHAPE[2])

# By resolution: factor of the noise, and what a tile costs. With one resolution, the plain problem. The prices are such
# that neither the cheapest nor the finest resolution is the best one throughout (results/reference/tiles.json).
RESOLUTION_NOISE = (1.0, 0.8, 0.6)
RESOLUTION_COST = (0.0, 0.02, 0.06)


@functools.cache
def _classifier(n_classes: int) -> TileClassifier:
    return TileClassifier(n_classes)


def scripted_resolution(revealed: int, res_actions: int) -> int:
    """The resolution of the next tile under the fixed policy: each in turn, by the number of tiles already revealed."""
    return revealed % res_actions


class TilesEnv(gymnasium.Env[Observation, np.int64]):
    """Reveal ``horizon`` tiles of a hidden image, one a step, so that the classifier recognises its class.

    Observation (every array an own copy):
        image: uint8 ``[3, 32, 32]``; a tile not yet revealed is 0.
        softmax: float32 ``[K]``, the exact posterior of the class given the revealed tiles.
        truncated: 1 in the last observation of an episode cut by ``time_limit``, else 0.
        prev_agent_action: the resolution of the last step, 0 at the start. With one resolution it is always 0, as from
            a second agent with a single action.
        action_mask: int8 ``[16]``, 1 for tiles not yet revealed.

    Reward: the increase of the posterior of the true class, less the price of the resolution. Without prices the
    undiscounted return is the final posterior of the true class minus 1/K.

    An episode terminates after ``horizon`` steps. An action that the mask forbids takes its step and does nothing else: it
    reveals nothing, its reward is 0, and the mask stays. One seed fixes the image whatever is done to it, because its
    noise is drawn at the reset.

    Args:
        n_classes: K.
        horizon: tiles that may be revealed, 1 to 15.
        noise: standard deviation of each number of a tile's code, in units of the codes' own.
        time_limit: steps after which the episode is truncated; a pair draws the limit of each episode uniformly from
            ``low..high``, so that what lies behind the cut of one episode is visited in others and its value learned. A
            limit of ``horizon`` or more never cuts. None: no limit.
        res_actions: number of resolutions, 1 to 3. In this form a second agent with a fixed policy picks them:
            ``scripted_resolution``.

    Raises:
        ValueError: an argument out of range.
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        n_classes: int = 16,
        horizon: int = 4,
        noise: float = 1.5,
        time_limit: int | tuple[int, int] | None = None,
        res_actions: int = 1,
    ) -> None:
        if not 1 <= horizon < N_TILES:
            raise ValueError(f"horizon is {horizon}; give 1 to {N_TILES - 1}, so that an action is left at the end")
        if noise <= 0:
            raise ValueError(f"noise is {noise}; give a positive standard deviation")
        if not 1 <= res_actions <= len(RESOLUTION_NOISE):
            raise ValueError(f"res_actions is {res_actions}; give 1 to {len(RESOLUTION_NOISE)}")
        low, high = time_limit if isinstance(time_limit, tuple) else (time_limit or horizon,) * 2
        if not 1 <= low <= high or time_limit == 0:
            raise ValueError(f"time_limit is {time_limit}; give at least 1, or a pair low <= high")
        self.classifier = _classifier(n_classes)
        self.horizon, self.noise, self.res_actions = horizon, float(noise), res_actions
        self._limits = (low, high)
        self.action_space = spaces.Discrete(N_TILES)
        self.observation_space = spaces.Dict(
            {
                "image": spaces.Box(0, 255, IMAGE_SHAPE, np.uint8),
                "softmax": spaces.Box(0.0, 1.0, (n_classes,), np.float32),
                "truncated": spaces.Discrete(2),
                "prev_agent_action": spaces.Discrete(res_actions),
                "action_mask": spaces.Box(0, 1, (N_TILES,), np.int8),
            }
        )
        self._over = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        self.label = int(self.np_random.integers(self.classifier.n_classes))
        self._unit_noise = self.np_random.standard_normal((N_TILES, CODE_SIZE))
        low, high = self._limits
        self._limit = low if low == high else int(self.np_random.integers(low, high + 1))
        self._image = np.zeros(IMAGE_SHAPE, np.uint8)
        self._mask = np.ones(N_TILES, np.int8)
        self._log_likelihoods = np.zeros(self.classifier.n_classes)
        self._posterior = posterior(self._log_likelihoods)
        self._steps = 0
        self._truncated = self._over = False
        self._last_resolution = 0
        return self._observation(), {}

    def step(self, action: np.int64 | int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """One step; see the class. Reward: float.

        Raises:
            gymnasium.error.ResetNeeded: the episode is over.
            ValueError: ``action`` is no tile.
        """
        self._require_running()
        return self.step_with_resolution(action, scripted_resolution(N_TILES - int(self._mask.sum()), self.res_actions))

    def step_with_resolution(
        self, action: np.int64 | int, resolution: np.int64 | int
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """``step`` with the resolution given instead of scripted; raises what ``step`` raises."""
        self._require_running()
        tile, res = int(action), int(resolution)
        if not (0 <= tile < N_TILES and 0 <= res < self.res_actions):
            raise ValueError(
                f"tile {tile} at resolution {res}; there are {N_TILES} tiles, {self.res_actions} resolutions"
            )
        reward = self._reveal(tile, res) if self._mask[tile] else 0.0
        self._steps += 1
        self._last_resolution = res
        terminated = self._steps >= self.horizon
        self._truncated = self._steps >= self._limit and not terminated
        self._over = terminated or self._truncated
        return self._observation(), reward, terminated, self._truncated, {}

    @property
    def has_fixed_length(self) -> bool:
        """Whether every episode has ``horizon`` steps."""
        return self._limits[0] >= self.horizon

    def noisy_code(self, tile: int, resolution: int = 0) -> NDArray[np.float64]:
        """What ``tile`` of this episode's image shows, float64 ``[9]``."""
        return self.classifier.codes[self.label, tile] + self._noise_of(resolution) * self._unit_noise[tile]

    def _noise_of(self, resolution: int) -> float:
        return self.noise * RESOLUTION_NOISE[resolution]

    def _reveal(self, tile: int, resolution: int) -> float:
        value = self.noisy_code(tile, resolution)
        _, height, width = TILE_SHAPE
        top, left = tile // GRID * height, tile % GRID * width
        self._image[:, top : top + height, left : left + width] = self.classifier.picture(value)
        self._mask[tile] = 0
        before = self._posterior[self.label]
        self._log_likelihoods += self.classifier.log_likelihood(tile, value, self._noise_of(resolution))
        self._posterior = posterior(self._log_likelihoods)
        return float(self._posterior[self.label] - before) - RESOLUTION_COST[resolution]

    def _observation(self) -> Observation:
        return {
            "image": self._image.copy(),
            "softmax": self._posterior.astype(np.float32),
            "truncated": np.int64(self._truncated),
            "prev_agent_action": np.int64(self._last_resolution),
            "action_mask": self._mask.copy(),
        }

    def _require_running(self) -> None:
        if self._over:
            raise ResetNeeded("TilesEnv: the episode is over; call reset() before step()")
