"""Rung 0, settings that RLlib's old API stack alone has."""

from __future__ import annotations

from parity.ladder.rung_input import RungInput, RungReport

# What RLlib's catalog builds for a policy without a custom model (models/catalog.py, ray 2.60).
DEFAULT_MODELS = ("FullyConnectedNetwork", "VisionNetwork", "ComplexInputNetwork", "LSTMWrapper", "GTrXLNet")


def old_stack(report: RungReport, inputs: RungInput) -> None:
    """Filters, clipping, exploration, default models; and what every port of that stack has."""
    lost = inputs.configuration.native.get("lost") or {}
    if lost:
        words = ", ".join(f"{name}={value}" for name, value in lost.items())
        report.report(
            "PAR126", "config", f"the old configuration has {words}, the new stack has nothing like it", dict(lost)
        )
    if not inputs.is_old_stack:
        return
    settings = inputs.configuration.native
    if settings["observation_filter"] != "NoFilter":
        message = f"observation_filter is {settings['observation_filter']}; SB3's side gets observations as they are"
        evidence = {"observation_filter": settings["observation_filter"]}
        report.report("PAR120", "config.env_runners", message, evidence, module=inputs.learning)
    if settings["clip_rewards"]:
        message = f"clip_rewards is {settings['clip_rewards']}"
        report.report(
            "PAR121", "config.environment", message, {"clip_rewards": settings["clip_rewards"]}, module=inputs.learning
        )
    if settings["exploration_config"] != "StochasticSampling":
        message = f"exploration_config is of type {settings['exploration_config']}"
        evidence = {"type": settings["exploration_config"]}
        report.report("PAR124", "config.env_runners", message, evidence, module=inputs.learning)
    for module in inputs.modules():
        facts = inputs.module_facts[module]
        if facts.class_name in DEFAULT_MODELS and facts.choices != [1]:
            message = f"policy {module} has no custom model: RLlib built a {facts.class_name}, which knows no mask"
            report.report("PAR122", f"module {module}", message, {"class": facts.class_name}, module=module)
    envs, steps = inputs.configuration.port.get("n_envs", 1), inputs.configuration.port.get("n_steps", 1)
    if settings["batch_mode"] == "complete_episodes":
        message = (
            f"batch_mode is complete_episodes: a rollout of {envs} x {steps} steps goes on to the ends of its episodes"
        )
        report.report("PAR125", "config.env_runners", message, {"batch_mode": settings["batch_mode"]})
        return
    length = settings["rollout_fragment_length"]
    rows = length if isinstance(length, int) else steps
    message = (
        f"one row of {rows} in every fragment, {1 / max(rows, 1):.1%} of an update's rows, was chosen by older weights"
    )
    report.report("PAR123", "config", message, {"share_of_rows": 1 / max(rows, 1), "fragment": rows})
