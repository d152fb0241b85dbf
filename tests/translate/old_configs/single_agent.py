"""One agent, RLlib's own network, no masks: calls of PPOConfig. Both actions are always legal, which parity wants said."""

import gymnasium
import numpy as np
from ray.rllib.algorithms.ppo import PPOConfig
from ray.tune.registry import register_env


class Cart(gymnasium.Wrapper):
    def __init__(self, config=None):
        super().__init__(gymnasium.make("CartPole-v1"))

    def action_masks(self):
        return np.ones(2, dtype=bool)


register_env("cart", lambda config: Cart())

config = (
    PPOConfig()
    .api_stack(enable_rl_module_and_learner=False, enable_env_runner_and_connector_v2=False)
    .environment("cart")
    .framework("torch")
    .rollouts(num_rollout_workers=0, num_envs_per_worker=4)
    .training(
        lr=3e-4, lambda_=0.95, clip_param=0.2, entropy_coeff=0.01, train_batch_size=256, sgd_minibatch_size=64, num_sgd_iter=4,
        grad_clip=0.5, vf_loss_coeff=0.5, vf_clip_param=10000.0, model={"fcnet_hiddens": [32, 32], "fcnet_activation": "relu"},
    )
    .resources(num_gpus=0)
    .debugging(seed=1, log_level="ERROR")
)  # fmt: skip
