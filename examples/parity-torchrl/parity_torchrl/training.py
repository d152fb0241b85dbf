"""TorchRL's own parts of a PPO, put together for one task and seed: collector, GAE, ClipPPOLoss, replay buffer, PPOTrainer."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torchrl.collectors import Collector
from torchrl.data import LazyTensorStorage, SamplerWithoutReplacement, TensorDictReplayBuffer
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE
from torchrl.trainers.algorithms import PPOTrainer

from parity import Task
from parity.errors import CannotStart
from parity.frameworks.base import SEED_STRIDE
from parity.frameworks.network import check_network, check_observation_space
from parity.task.masks import MaskedEnv, masked_envs
from parity_torchrl.env import batched_env
from parity_torchrl.hyperparameters import to_torchrl
from parity_torchrl.policy import Policy


class Training:
    """Everything that trains one task from one seed.

    Args:
        watch: is given the environments before anything plays in them.

    Attributes:
        envs: the environments that are sampled from, with their counts of masks.
        policy: actor and critic.
        collector, gae, loss, optimizer, buffer, trainer: TorchRL's.

    Raises:
        CannotStart: the environment cannot be masked, or the network cannot be used.
    """

    def __init__(
        self, task: Task, seed: int, device: str, watch: Callable[[list[MaskedEnv]], Any] = lambda _: None
    ) -> None:
        arguments = to_torchrl(task.ppo)
        self.envs: list[MaskedEnv] = masked_envs(task.env, task.mask, task.ppo.n_envs)
        watch(self.envs)
        self.policy = build_policy(task, self.envs[0], seed, device)
        self.collector: Any = Collector(
            batched_env(self.envs, seed * SEED_STRIDE),
            self.policy.actor,
            frames_per_batch=arguments.frames_per_batch,
            total_frames=-1,
            policy_device=device,
            env_device="cpu",
            storing_device=device,
            auto_register_policy_transforms=False,
        )
        self.gae = GAE(**arguments.gae, value_network=self.policy.critic, device=device, deactivate_vmap=True)
        self.loss = build_loss(task, self.policy, device)
        self.optimizer = torch.optim.Adam(self.policy.module.parameters(), **arguments.optimizer)
        self.buffer = TensorDictReplayBuffer(
            storage=LazyTensorStorage(arguments.frames_per_batch, device=device),
            sampler=SamplerWithoutReplacement(shuffle=True, drop_last=False),
            batch_size=arguments.batch_size,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that PPOTrainer is a prototype, and that its hooks will have other names
            self.trainer: Any = PPOTrainer(
                collector=self.collector,
                total_frames=0,  # `Session.train` says
                frame_skip=1,
                optim_steps_per_batch=None,  # until an epoch's minibatches are used up
                loss_module=self.loss,
                optimizer=self.optimizer,
                replay_buffer=self.buffer,
                progress_bar=False,
                enable_logging=False,
                add_gae=False,
                **arguments.trainer,
            )
        # PPOTrainer's own place for GAE is the start of every epoch; SB3 computes advantages once per rollout.
        self.trainer.register_op("batch_process", self.gae)

    def close(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.collector.shutdown()
        for env in self.envs:
            env.close()


def build_loss(task: Task, policy: Policy, device: str) -> Any:
    """``ClipPPOLoss``; not functional, so that what is optimised are the network's own parameters, under their names."""
    arguments = to_torchrl(task.ppo).loss
    return ClipPPOLoss(policy.actor, policy.critic, **arguments, functional=False, device=device)


def build_policy(task: Task, env: MaskedEnv, seed: int | None, device: str) -> Policy:
    """Raises CannotStart: the network cannot be built, or its outputs are not the contract's."""
    check_observation_space(env.observation_space, may_be_nested=False)
    if task.network is None:
        raise CannotStart(
            f"Task {task.id} brings both sides whole and no shared network, which torchrl trains: give the task a "
            "network, or leave torchrl out of --frameworks."
        )
    policy = Policy(task.network, env.observation_space, env.action_space, seed).to(device)
    check_network(policy.module.network, env.observation_space, env.action_space)
    return policy
