"""A task: one problem that every framework trains on, and the port of it under test.

Nothing here imports a framework: a task file is loaded by judges and runners alike.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, Any, NotRequired

import gymnasium
from pydantic import ConfigDict, Field, field_validator
from pydantic.dataclasses import dataclass
from typing_extensions import TypedDict

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]

_STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

# Below 0.15 of the way from uniform legal play to the best known, no affordable number of seeds decides anything.
DEFAULT_MARGIN = 0.15


@dataclass(frozen=True, config=_STRICT)
class PPOParams:
    """Hyperparameters of PPO, under Stable-Baselines3's names and with its meanings.

    ``n_steps`` and ``n_envs`` make one rollout (``n_steps * n_envs`` environment steps); ``batch_size`` is the number of
    rows of a minibatch; ``clip_range_vf=None`` means no value clipping; ``adam_eps`` is Adam's epsilon, for which
    sb3-contrib's MaskablePPO uses 1e-5 where PyTorch's default is 1e-8.
    """

    n_envs: Count = 8
    n_steps: Count = 256
    batch_size: Annotated[int, Field(ge=2)] = 64
    n_epochs: Count = 10
    learning_rate: Positive = 3e-4
    gamma: Fraction = 0.99
    gae_lambda: Fraction = 0.95
    clip_range: Positive = 0.2
    clip_range_vf: Positive | None = None
    ent_coef: float = 0.0
    vf_coef: float = 0.5
    max_grad_norm: Positive = 0.5
    adam_eps: Positive = 1e-5
    normalize_advantage: bool = True
    target_kl: Positive | None = None

    def __post_init__(self) -> None:
        if self.normalize_advantage and self.rollout_steps % self.batch_size == 1:
            # sb3-contrib 2.9.2 divides its advantage by the standard deviation of one value, which is NaN.
            raise ValueError(
                f"n_envs * n_steps = {self.rollout_steps} rows leave a last minibatch of one row at batch_size "
                f"{self.batch_size}, which cannot be normalised; change one of them"
            )

    @property
    def rollout_steps(self) -> int:
        """Environment steps of one rollout over all sub-environments."""
        return self.n_envs * self.n_steps


class Reference(TypedDict):
    """Anchors of the normalised score: the mean return that is uniform over legal actions, and the best known.

    Where both are the same there is nothing to learn: such a task can be checked and not run.
    """

    uniform_legal: float
    best: NotRequired[float]
    source: NotRequired[str]


@dataclass(frozen=True, config=_STRICT)
class Task:
    """One problem, shared by every framework, and optionally the user's RLlib port of it.

    Args:
        id: name of the task in studies and reports.
        env: makes the single-agent environment, the truth that SB3 trains on.
        network: ``(observation_space, action_space) -> torch.nn.Module`` whose ``forward(obs)`` gives
            ``(logits float32 [B, n_logits], values float32 [B])``, unmasked; the mask entry is not part of ``obs``.
            None only where ``sb3_model`` and ``rllib_config`` bring both sides whole.
        ppo: hyperparameters, under SB3's names.
        steps: environment steps of one trial.
        eval_every: environment steps between two evaluations.
        eval_episodes: episodes of one evaluation, for each of the deterministic and the sampled policy.
        reference: anchors of the score; measured where left out.
        margin: equivalence margin, in normalised score.
        mask: where the environment shows its action mask: ``"obs:KEY"``, ``"info:KEY"`` or ``"method:NAME"``;
            None finds it.
        multi_agent_env: makes the RLlib ``MultiAgentEnv`` of the port, or a PettingZoo environment (AEC or parallel).
        learning_agent: the agent of ``multi_agent_env`` that is compared with SB3.
        rllib_module: the user's RLModule class for the learning agent, taken as it is.
        other_modules: RLModule classes of the other agents, by agent id.
        rllib_config: a function that has the last word on parity's ``PPOConfig``, or a finished ``PPOConfig`` or dict.
        rllib_old_model: the user's ``TorchModelV2`` class for the learning agent on RLlib's old API stack (framework
            ``rllib-old-stack``), which is taken as it is.
        rllib_old_config: as ``rllib_config``, for the old API stack.
        sb3_model: ``(vec_env, seed, device) -> MaskablePPO``, a finished SB3 side.
        parameter_map: SB3 parameter name -> RLModule parameter name, where it cannot be inferred.
        declared: what differs on purpose, a field or a finding's code -> the reason.

    Raises:
        pydantic.ValidationError: a field is unknown, missing, of the wrong type or out of range.
    """

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    env: Callable[[], gymnasium.Env]
    network: Callable[[gymnasium.Space, gymnasium.Space], Any] | None = None
    ppo: PPOParams = PPOParams()
    steps: Count = 65_536
    eval_every: Count = 8_192
    eval_episodes: Count = 100
    reference: Reference | None = None
    margin: Positive = DEFAULT_MARGIN
    mask: str | None = None
    multi_agent_env: Callable[[], Any] | None = None
    learning_agent: str | None = None
    rllib_module: type | None = None
    other_modules: dict[str, type] = dataclasses.field(default_factory=dict)
    rllib_config: Any = None
    rllib_old_model: type | None = None
    rllib_old_config: Any = None
    sb3_model: Callable[..., Any] | None = None
    parameter_map: dict[str, str] | None = None
    declared: dict[str, str] = dataclasses.field(default_factory=dict)

    @field_validator("mask")
    @classmethod
    def _names_a_place(cls, mask: str | None) -> str | None:
        kind, _, name = (mask or "obs:-").partition(":")
        if kind not in ("obs", "info", "method") or not name:
            raise ValueError(f'"{mask}" names no place of the mask; write "obs:KEY", "info:KEY" or "method:NAME"')
        return mask

    @field_validator("reference")
    @classmethod
    def _anchors_differ(cls, reference: Reference | None) -> Reference | None:
        if reference is None:
            return None
        best = reference.get("best")
        if not math.isfinite(reference["uniform_legal"]) or (best is not None and not math.isfinite(best)):
            raise ValueError("uniform_legal and best must be finite")
        if best is not None and best < reference["uniform_legal"]:
            raise ValueError("best must not be below uniform_legal")
        return reference

    @field_validator("network")
    @classmethod
    def _is_not_built(cls, network: Any) -> Any:
        if hasattr(network, "state_dict") and not isinstance(network, type):
            raise ValueError("give the class, or a function (observation_space, action_space) -> Module, not a module")
        return network

    def __post_init__(self) -> None:
        if self.network is None and (
            self.sb3_model is None or (self.rllib_config is None and self.rllib_old_config is None)
        ):
            raise ValueError("network may only be left out where both sb3_model and rllib_config are given")
