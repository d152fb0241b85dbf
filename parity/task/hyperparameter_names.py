"""PPO's hyperparameters by their names in SB3 (``PPOParams``) and in RLlib (``PPOConfig``, ray 2.60.0)."""

# `n_steps` counts the steps of one environment, `train_batch_size_per_learner` those of all of them.
RLLIB_NAMES = {
    "n_envs": "num_envs_per_env_runner",
    "n_steps": "train_batch_size_per_learner",
    "batch_size": "minibatch_size",
    "n_epochs": "num_epochs",
    "learning_rate": "lr",
    "gamma": "gamma",
    "gae_lambda": "lambda_",
    "clip_range": "clip_param",
    "ent_coef": "entropy_coeff",
    "vf_coef": "vf_loss_coeff",
    "max_grad_norm": "grad_clip",
}
# Arguments of PPOConfig.env_runners(); the others are arguments of PPOConfig.training().
IN_ENV_RUNNERS = ("n_envs",)
# Fields of PPOParams that PPOConfig has no counterpart for; ExactPPOLearner takes them as options.
NOT_IN_RLLIB = ("adam_eps", "normalize_advantage", "clip_range_vf", "target_kl")
