"""sb3-contrib's InvalidActionEnv as tasks: Discrete, MultiDiscrete and MultiBinary actions, masks from ``action_masks()``.

The observation is the action that pays 1; of the other options some are forbidden, drawn anew at every step. An episode is
truncated after 100 steps. The environments draw from their action space and from NumPy's global generator, so that
``reset(seed=...)`` decides nothing; `parity.task.repeatable.Repeatable` mends that without touching them.

Reference scores: results/reference/single_agent.json, computed exactly by benchmarks/single_agent_reference.py.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
from parity_envs.mlp import MlpNetwork

from parity import PPOParams, Task
from parity.errors import CannotStart
from parity.task.repeatable import Repeatable

SOURCE = "results/reference/single_agent.json (benchmarks/single_agent_reference.py)"

# sb3-contrib's own test asks for a return of 90 after 5,000 steps of this one.
DISCRETE: dict[str, Any] = {"dim": 80, "n_invalid_actions": 60}
# All three sub-actions have to be right; 12 of the 21 wrong options are forbidden.
MULTI_DISCRETE: dict[str, Any] = {"dims": [8, 8, 8], "n_invalid_actions": 12}
# Five of ten bits are forced.
MULTI_BINARY: dict[str, Any] = {"dims": 10, "n_invalid_actions": 5}


def make_env(name: str, **kwargs: Any) -> gymnasium.Env:
    """sb3-contrib's environment of that name, repeatable; imported only here.

    Raises:
        CannotStart: sb3-contrib is not installed.
    """
    try:
        from sb3_contrib.common import envs
    except ModuleNotFoundError as error:
        raise CannotStart(f"{name} is an environment of sb3-contrib ({error}): pip install 'parity[sb3]'.") from error
    return Repeatable(getattr(envs, name)(**kwargs))


# With a discount of 0.4, as in sb3-contrib's test: what follows a step is nothing of its action's doing.
_PPO = PPOParams(n_envs=8, n_steps=64, batch_size=128, n_epochs=15, learning_rate=3e-3, gamma=0.4)


def _task(id: str, name: str, uniform_legal: float, arguments: dict[str, Any]) -> Task:
    return Task(
        id=id,
        env=partial(make_env, name, **arguments),
        network=MlpNetwork,
        ppo=_PPO,
        steps=8_192,
        eval_every=1_024,
        eval_episodes=20,
        reference={"uniform_legal": uniform_legal, "best": 100.0, "source": SOURCE},
    )


invalid_discrete = _task("invalid-discrete", "InvalidActionEnvDiscrete", 5.0, DISCRETE)
invalid_multidiscrete = _task("invalid-multidiscrete", "InvalidActionEnvMultiDiscrete", 1.793, MULTI_DISCRETE)
invalid_multibinary = _task("invalid-multibinary", "InvalidActionEnvMultiBinary", 3.125, MULTI_BINARY)
