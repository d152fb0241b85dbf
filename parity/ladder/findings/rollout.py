"""Rung 3: what the learner's batch says about the rollout, against what the environment gave and received."""

from __future__ import annotations

from parity.ladder.findings.rule import Rule

_UPDATE = ("PAR501", "PAR502", "PAR503", "PAR602", "PAR603", "PAR701", "PAR801")
_RETURNS = ("PAR402", "PAR404", "PAR405", *_UPDATE)

RULES = (
    Rule(
        code="PAR301",
        title="the mask in the batch is not the environment's",
        severity="error",
        explanation="The learner masks other actions than the ones that were forbidden when the action was chosen.",
        origin="A connector that changes the observation, or an environment that writes into an array it returned.",
        fix="Return a new array at every step, and leave action_mask alone in connectors.",
        explains=("PAR201", "PAR202", "PAR203", "PAR204", "PAR205", "PAR303", "PAR308", *_UPDATE),
    ),
    Rule(
        code="PAR302",
        title="an illegal action reached the environment",
        severity="error",
        explanation="The environment received an action that the mask it had shown forbids.",
        origin="A mask that is not honoured at sampling, or a mask of another step or agent.",
        fix="See the findings of rung 2: they name the forward method.",
    ),
    Rule(
        code="PAR303",
        title="log-probability at sampling differs from the one at training",
        severity="error",
        explanation=(
            "PPO's ratio is then not 1 before the first step on the same weights: updates are clipped and weighted by a "
            "difference that is none of the policy's."
        ),
        origin=(
            "A connector that transforms the observation in the batch and not in the episode, so that the learner sees "
            "other numbers; _forward_train other than _forward; noise in the network; weights not synchronised."
        ),
        fix="Write transformed observations back: episode.set_observations(new_data=..., at_indices=-1)",
        explains=("PAR404", "PAR405", "PAR501", "PAR602", "PAR603", "PAR701", "PAR801"),
    ),
    Rule(
        code="PAR304",
        title="a truncated episode is stored as terminated",
        severity="error",
        explanation=(
            "RLlib does not bootstrap a termination: the value of the state at the time limit counts as zero, and values "
            "before it are learned too low."
        ),
        origin=(
            "The environment, or RLlib's own PettingZooEnv around one (give parity the PettingZoo environment as it is), sets "
            "truncateds[agent]=True for every agent; RLlib takes that for a termination "
            "(multi_agent_episode.py:408-416 and 457, ray 2.47.1 and 2.60.0)."
        ),
        fix='truncateds = {"__all__": True}  # and no agent by name',
        explains=("PAR305", *_RETURNS),
    ),
    Rule(
        code="PAR305",
        title="ends in the batch differ from the environment's",
        severity="error",
        explanation="Advantages and targets reach over an end, or stop where there is none.",
        origin="A connector or an environment wrapper that changes terminateds or truncateds.",
        fix='return obs, rewards, {"__all__": terminated}, {"__all__": truncated}, infos',
        explains=_RETURNS,
    ),
    Rule(
        code="PAR306",
        title="rewards in the batch differ from the environment's",
        severity="error",
        explanation="The learner is trained on other rewards than the environment gave.",
        origin="A connector that clips, scales or shapes rewards.",
        fix="Remove the connector, or declare it.",
        explains=_RETURNS,
    ),
    Rule(
        code="PAR307",
        title="actions in the batch differ from those the environment received",
        severity="error",
        explanation="The learner reinforces actions that were not played.",
        origin="A module-to-env connector that changes actions, or an environment that is given something else.",
        fix="Change actions in the environment, not between module and environment.",
        explains=("PAR203", "PAR303", *_UPDATE),
    ),
    Rule(
        code="PAR308",
        title="observations in the batch differ from the environment's",
        severity="error",
        explanation="The module is trained on something else than SB3's network sees.",
        origin="A connector that normalises, scales or flattens observations, or an array that the environment wrote into.",
        fix="Pre-process inside the network, so that both frameworks do it.",
        explains=("PAR101", "PAR102", "PAR203", "PAR204", *_RETURNS),
    ),
    Rule(
        code="PAR309",
        title="decisions were played and not learned from",
        severity="error",
        explanation="Rows are missing from the learner's batch, and rarely at random.",
        origin="Unfinished episodes thrown away, a connector that drops rows, or a mapping to another module.",
        fix='config.env_runners(batch_mode="truncate_episodes")',
    ),
    Rule(
        code="PAR310",
        title="the batch's rows are not those of the rollout",
        severity="error",
        explanation=(
            "The number of rows is neither that of the decisions nor that plus one bootstrap row per chunk, so rows cannot "
            "be told apart."
        ),
        origin="A learner connector that adds, drops or repeats rows.",
        fix="Leave the number of rows alone, or declare it.",
    ),
    Rule(
        code="PAR311",
        title="bootstrap rows take part in the loss",
        severity="error",
        explanation="The row that is appended for bootstrapping has no action of its own; it must not be learned from.",
        origin="A learner connector that drops or overwrites loss_mask.",
        fix="Keep Columns.LOSS_MASK.",
        explains=("PAR501", "PAR502", "PAR603", "PAR701", "PAR801"),
    ),
    Rule(
        code="PAR312",
        title="the rollout stops with an exception",
        severity="error",
        explanation="No batch was collected, so nothing that needs one could be compared.",
        origin="An exception in the environment, a connector or the module; an illegal action in a strict environment.",
        fix="The log has the traceback; the exception's own message names the place.",
    ),
    Rule(
        code="PAR314",
        title="a process of the port computes other numbers than the module alone",
        severity="error",
        explanation="What an env runner plays, or a learner trains, is another function than the module that was compared.",
        origin=(
            "A module that asks where it runs (worker index, inference_only, device), reads a file or a global of one "
            "process, or is another class there."
        ),
        fix="Build the module from its constructor's arguments alone: observation_space, action_space, model_config.",
        explains=("PAR303", "PAR806"),
    ),
    Rule(
        code="PAR315",
        title="an iteration takes more steps than the configuration asks for",
        severity="warning",
        explanation="Every update then has more rows, and there are fewer updates in the same number of steps.",
        origin=(
            "rollout_fragment_length times all sub-environments is no divisor of the train batch: env runners sample whole "
            "fragments until there are enough."
        ),
        fix='config.env_runners(rollout_fragment_length="auto")',
    ),
)
