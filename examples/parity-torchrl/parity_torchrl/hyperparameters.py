"""``PPOParams`` in TorchRL's terms, what TorchRL has no counterpart for, and what it will really use.

Sources: torchrl 0.14.1 (``ClipPPOLoss``, ``GAE``, ``PPOTrainer``, ``SamplerWithoutReplacement``).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from parity import PPOParams
from parity.frameworks.base import Untranslated

if TYPE_CHECKING:
    from parity_torchrl.training import Training

# What `declared` of a task may call a field, and what a finding's fix names.
NAMES = {
    "n_envs": "num_workers",
    "n_steps": "frames_per_batch",
    "batch_size": "batch_size",
    "n_epochs": "num_epochs",
    "learning_rate": "lr",
    "gamma": "gamma",
    "gae_lambda": "lmbda",
    "clip_range": "clip_epsilon",
    "ent_coef": "entropy_coeff",
    "vf_coef": "critic_coeff",
    "max_grad_norm": "clip_norm",
    "adam_eps": "eps",
    "normalize_advantage": "normalize_advantage",
}


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Keyword arguments, by what takes them."""

    loss: dict[str, Any]
    gae: dict[str, Any]
    optimizer: dict[str, Any]
    trainer: dict[str, Any]
    frames_per_batch: int
    batch_size: int


def to_torchrl(ppo: PPOParams) -> Arguments:
    return Arguments(
        loss={
            "clip_epsilon": ppo.clip_range,
            "entropy_coeff": ppo.ent_coef,
            # SB3 logs the entropy with a coefficient of 0 too.
            "entropy_bonus": True,
            "critic_coeff": ppo.vf_coef,
            "loss_critic_type": "l2",
            "normalize_advantage": ppo.normalize_advantage,
            "clip_value": ppo.clip_range_vf,
        },
        gae={"gamma": ppo.gamma, "lmbda": ppo.gae_lambda, "average_gae": False},
        optimizer={"lr": ppo.learning_rate, "eps": ppo.adam_eps},
        trainer={"num_epochs": ppo.n_epochs, "clip_grad_norm": True, "clip_norm": ppo.max_grad_norm},
        frames_per_batch=ppo.rollout_steps,
        # SB3 takes a whole rollout where a minibatch would be longer.
        batch_size=min(ppo.batch_size, ppo.rollout_steps),
    )


def untranslated(ppo: PPOParams) -> list[Untranslated]:
    """What ``ClipPPOLoss`` and ``PPOTrainer`` do otherwise."""
    differences = []
    if ppo.batch_size > ppo.rollout_steps:
        reason = "a minibatch is at most a rollout, as it is for MaskablePPO"
        differences.append(Untranslated("batch_size", ppo.batch_size, reason))
    if ppo.clip_range_vf is not None:
        reason = "the larger of the clipped and the unclipped squared error; SB3 takes the clipped one"
        differences.append(Untranslated("clip_range_vf", ppo.clip_range_vf, reason))
    if ppo.target_kl is not None:
        differences.append(Untranslated("target_kl", ppo.target_kl, "PPOTrainer has no early stop by KL"))
    return differences


def of_torchrl(training: Training) -> dict[str, Any]:
    """Read back from the objects that train, by ``PPOParams``' names."""
    loss, gae, trainer = training.loss, training.gae, training.trainer
    adam = training.optimizer.defaults
    n_envs = len(training.envs)
    return {
        "n_envs": n_envs,
        "n_steps": training.collector.requested_frames_per_batch // n_envs,
        "batch_size": training.buffer.batch_size,
        "n_epochs": trainer.num_epochs,
        "learning_rate": adam["lr"],
        "gamma": _number(gae.gamma),
        "gae_lambda": _number(gae.lmbda),
        "clip_range": _number(loss.clip_epsilon),
        "clip_range_vf": None if loss.clip_value is None else _number(loss.clip_value),
        "ent_coef": _number(loss.entropy_coeff),
        "vf_coef": 0.0 if loss.critic_coeff is None else _number(loss.critic_coeff),
        "max_grad_norm": trainer.clip_norm if trainer.clip_grad_norm else f"by value, {trainer.clip_norm}",
        "adam_eps": adam["eps"],
        "normalize_advantage": loss.normalize_advantage,
        "target_kl": None,
    }


def _number(buffer: Any) -> float:
    """A float32 buffer's value as the float that it was made from, to float32's digits."""
    return float(f"{float(buffer):.6g}")
