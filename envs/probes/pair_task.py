"""The task of a pair: the single-agent form for SB3, the multi-agent form for RLlib."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from parity_envs.probes.env import probe_task
from parity_envs.probes.pair import LEARNER, PairEnv

from parity import Task

if TYPE_CHECKING:
    from parity_envs.probes.pair_together import PairTogether


def pair_task(name: str, env: type[PairEnv], **settings: Any) -> Task:
    """As `probe_task`, with the multi-agent form; Ray is imported only where that is made."""
    return probe_task(name, env, multi_agent_env=partial(_together, env), learning_agent=LEARNER, **settings)


def _together(env: type[PairEnv]) -> PairTogether:
    from parity_envs.probes.pair_together import PairTogether

    return PairTogether(env())
