"""Arguments that are no hyperparameters: environment, policy, seed, device, logging, and what RL-Zoo wraps around."""

from __future__ import annotations

import dataclasses
from typing import Any

from parity.errors import CannotStart
from parity.port.translate.given import Expression, Given, has_expression

_MODULE = "bring an RLModule: .rl_module(rl_module_spec=RLModuleSpec(module_class=...)); parity init writes one"
# What SB3's own policies have, and PPO without an RLModule of yours.
_POLICIES = {
    "MlpPolicy": (
        "PPO's own module has two layers of 256, for policy and value each; SB3's have 64 and start orthogonal",
        'for RLlib\'s own module, .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[64, 64], fcnet_activation="tanh"))',
    ),
    "CnnPolicy": (
        "PPO's own module picks its convolutions by the image's size; SB3's has NatureCNN and divides by 255",
        _MODULE,
    ),
    "MultiInputPolicy": ("PPO has no module for a Dict observation and stops there", _MODULE),
}
# Defaults that are not None, False, 0 or empty.
_NOTHING = {"sde_sample_freq": -1, "_init_setup_model": True}
# Hyperparameters are checked by PPOParams, these here.
_TYPES: dict[str, type] = {
    "policy": str,
    "use_sde": bool,
    "sde_sample_freq": int,
    "stats_window_size": int,
    "tensorboard_log": str,
    "policy_kwargs": dict,
    "verbose": int,
    "seed": int,
    "device": str,
    "frame_stack": int,
}
_WORDS = {str: "text", bool: "True or False", int: "a whole number", dict: "a mapping"}
# SB3's and RLlib's default for the window of episodes whose mean return is reported.
_WINDOW = 100

# Argument -> what RLlib does, what to do. Given as None, False or the like, they ask for nothing.
_WITHOUT: dict[str, tuple[str, str]] = {
    "use_sde": (
        "actions are sampled from the distribution at every step",
        "leave use_sde out on both sides; discrete actions have no such noise anyway",
    ),
    "sde_sample_freq": ("there is no such noise", "see use_sde"),
    "rollout_buffer_class": (
        "episodes are kept as they are, connectors make the batch",
        "put into a learner connector what the buffer does: .learners(learner_connector=...)",
    ),
    "rollout_buffer_kwargs": (
        "there is no rollout buffer",
        "see rollout_buffer_class",
    ),
    "tensorboard_log": (
        "an Algorithm alone writes to ~/ray_results, Tune wherever it is told",
        "tune.RunConfig(storage_path=...), which writes TensorBoard events too",
    ),
    "verbose": (
        "nothing is printed during training",
        "print what Algorithm.train() returns; .debugging(log_level=...) is RLlib's own log",
    ),
    "normalize": (
        "observations and rewards arrive as the environment gives them",
        "observations: in the network, the same for both sides, or .env_runners(env_to_module_connector=...) with "
        "MeanStdFilter(multi_agent=True), which would also normalise a mask that lies in the observation; rewards: "
        "gymnasium.wrappers.NormalizeReward in the environment",
    ),
    "frame_stack": (
        "the module sees one observation",
        "gymnasium.wrappers.FrameStackObservation in the environment of both sides; or the connectors FrameStackingEnvToModule "
        "and FrameStackingLearner, always both",
    ),
    "env_wrapper": (
        "the environment is what it was registered as",
        "wrap it where it is made: ray.tune.register_env(name, lambda config: Wrapper(make()))",
    ),
    "vec_env_wrapper": (
        "there is no VecEnv to wrap",
        "do it in the environment itself, or in a connector",
    ),
    "monitor_kwargs": (
        "there is no Monitor, returns are counted from the episodes",
        "return further figures from .callbacks(on_episode_end=...)",
    ),
    "callback": (
        "SB3's callbacks do not run",
        ".callbacks(on_train_result=..., on_episode_end=...), or Tune's stoppers",
    ),
    "_init_setup_model": (
        "a configuration builds nothing",
        "call config.build_algo() when it is wanted",
    ),
}  # fmt: skip

# Entry of policy_kwargs -> what RLlib does, what to do.
_POLICY: dict[str, tuple[str, str]] = {
    "net_arch": (
        "RLlib's default module has two layers of 256",
        "write these layers into your module's setup(); for RLlib's own module, DefaultModelConfig(fcnet_hiddens=...)",
    ),
    "activation_fn": (
        "RLlib's default module has tanh",
        "the same activation in your module's setup(); for RLlib's own module, DefaultModelConfig(fcnet_activation=...)",
    ),
    "ortho_init": (
        "layers start as PyTorch makes them",
        "what SB3 does goes into your module's setup(): orthogonal with gain sqrt(2), logits 0.01, value 1, biases 0, and "
        "nothing of it with ortho_init=False",
    ),
    "features_extractor_class": (
        "a Dict observation needs a module of your own",
        "use the same nn.Module in your module's setup()",
    ),
    "features_extractor_kwargs": ("as features_extractor_class", "pass them on in your module's setup()"),
    "share_features_extractor": ("the module decides", "one trunk or two in your module's setup()"),
    "normalize_images": ("images arrive as uint8, unscaled", "divide by 255 in the network, unless this is False"),
    "log_std_init": (
        "the module gives the log of the standard deviation itself; discrete actions have none",
        "start it there in your module's setup()",
    ),
    "optimizer_class": ("PPOTorchLearner builds Adam", "override Learner.configure_optimizers_for_module"),
    "optimizer_kwargs": ("PPOTorchLearner builds Adam with PyTorch's defaults", "as optimizer_class"),
}  # fmt: skip


@dataclasses.dataclass
class Surroundings:
    """``calls``: method of ``PPOConfig`` -> keyword arguments. ``notes``: (field, value, instead, remedy)."""

    calls: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    notes: list[tuple[str, Any, str, str]] = dataclasses.field(default_factory=list)


def surroundings(given: Given) -> Surroundings:
    """Raises:
    CannotStart: an argument has the wrong type.
    """
    found = Surroundings()
    values = given.values
    _check_types(given)
    _environment(given, found)
    _policy(given, found)
    _device(values.get("device", "auto"), found)
    seed = values.get("seed")
    if isinstance(seed, int):
        found.calls["debugging"] = {"seed": seed}
        found.notes.append(
            (
                "seed",
                seed,
                "the same seed gives other random numbers in RLlib",
                "compare several seeds, never one with one",
            )
        )
    elif seed is not None:
        found.notes.append(("seed", seed, "no seed is set", "write .debugging(seed=...) with a number"))
    window = values.get("stats_window_size", _WINDOW)
    if isinstance(window, int) and window > 0:
        found.calls["reporting"] = {"metrics_num_episodes_for_smoothing": window}
    else:
        found.notes.append(
            (
                "stats_window_size",
                window,
                f"the mean of {_WINDOW} episodes is reported",
                ".reporting(metrics_num_episodes_for_smoothing=...) with a number",
            )
        )
    for name, (instead, remedy) in _WITHOUT.items():
        asked = values.get(name)
        wanted = asked != _NOTHING[name] if name in _NOTHING else isinstance(asked, Expression) or bool(asked)
        if wanted and asked is not None:
            found.notes.append((name, asked, instead, remedy))
    if "n_timesteps" in values:
        steps = values["n_timesteps"]
        remedy = (
            f'tune.RunConfig(stop={{"num_env_steps_sampled_lifetime": {steps}}}), or a loop around Algorithm.train()'
        )
        found.notes.append(("n_timesteps", steps, "a configuration has no end", remedy))
    return found


def _check_types(given: Given) -> None:
    for name, kind in _TYPES.items():
        found = given.values.get(name)
        if found is None or isinstance(found, Expression):
            continue
        if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
            raise CannotStart(f"{given.place(name)}: {name} is {found!r}, give {_WORDS[kind]}.")


def _environment(given: Given, found: Surroundings) -> None:
    env, arguments = given.values.get("env"), given.values.get("env_kwargs")
    if given.algorithm == "MaskablePPO":
        # Its check plays random actions, masks or not.
        found.calls["environment"] = {"disable_env_checking": True}
        found.notes.append(
            (
                "action masks",
                "MaskablePPO",
                "PPO knows of none: it would sample illegal actions",
                'return the mask in the observation, as "action_mask", and apply it in every forward of the RLModule; '
                "parity init writes such a port",
            )
        )
    if isinstance(env, str):
        found.calls["environment"] = {"env": env} | found.calls.get("environment", {})
    else:
        shown = Expression("none") if env is None else env
        instead = "no environment is set"
        found.notes.append(
            ("env", shown, instead, "add .environment(...): a class, or a name from ray.tune.register_env")
        )
    if isinstance(arguments, dict) and isinstance(env, str) and not has_expression(arguments):
        found.calls["environment"]["env_config"] = arguments
    elif arguments:
        found.notes.append(
            ("env_kwargs", arguments, "the environment gets none", "add .environment(..., env_config=...)")
        )


def _policy(given: Given, found: Surroundings) -> None:
    policy, arguments = given.values.get("policy"), given.values.get("policy_kwargs")
    if policy is not None:
        named = policy if isinstance(policy, str) else ""
        instead, remedy = _POLICIES.get(
            named, ("PPO builds a module of its own, where it has one for the spaces", _MODULE)
        )
        if given.algorithm == "MaskablePPO":
            remedy = _MODULE
        found.notes.append(("policy", policy, instead, remedy))
    if arguments is None:
        return
    if not isinstance(arguments, dict):
        found.notes.append(("policy_kwargs", arguments, "no network is set up", _MODULE))
        return
    for name, asked in arguments.items():
        instead, remedy = _POLICY.get(name, ("nothing of this name is known to it", _MODULE))
        if name == "optimizer_kwargs" and isinstance(asked, dict) and set(asked) == {"eps"}:
            continue  # a hyperparameter, adam_eps
        found.notes.append((f"policy_kwargs, {name}", asked, instead, remedy))


def _device(device: Any, found: Surroundings) -> None:
    if isinstance(device, str) and device.partition(":")[0] in ("cpu", "cuda"):
        found.calls["learners"] = {"num_gpus_per_learner": int(device != "cpu")}
        if ":" in device:
            number = device.partition(":")[2]
            found.notes.append(
                ("device", device, "the learner takes the first GPU", f".learners(local_gpu_idx={number})")
            )
        return
    found.calls["learners"] = {"num_gpus_per_learner": 0}
    instead = "the learner stays on the CPU"
    found.notes.append(("device", device, instead, ".learners(num_gpus_per_learner=1) puts it on a GPU"))
