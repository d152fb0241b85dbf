"""Collects from a port: one small rollout, the learner's batch of it, one short update.

Nothing is judged here. RLlib's own env runner, connectors and learner do the work, in this process and without a Ray
cluster; the environment's side is written down by `Recording`. Every part that raises is noted in `Context.raised`, and what
depends on it is left out.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import tree
from ray.rllib.core import COMPONENT_RL_MODULE
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.utils import force_list

from parity.capture.module_capture import ModuleCapture
from parity.capture.moves import Move, fill_rows
from parity.capture.raised import note, part
from parity.capture.rllib import behaviour
from parity.capture.rllib.env_check import checked_by_rllib
from parity.capture.rllib.env_contract import EnvContractChecker
from parity.capture.rllib.hooks import replaced
from parity.capture.rllib.recording import Recording
from parity.capture.rllib.repetition import FirstCalls
from parity.capture.rllib.sequences import Sequences, is_recurrent, unrolled
from parity.capture.rllib.stress import stress
from parity.capture.rllib.update import between_updates, watched_update
from parity.errors import CannotStart
from parity.frameworks.rllib.arrays import (
    array,
    by_entry,
    device_of,
    duplicate,
    flat,
    named_parameters,
    parameters,
    stack,
    take,
)
from parity.frameworks.rllib.config import Port
from parity.frameworks.rllib.env import OBSERVATIONS_KEY
from parity.frameworks.rllib.env_tap import EnvReader, tap_sub_environments
from parity.frameworks.rllib.eval_runner import make_env_runner
from parity.frameworks.rllib.mapping import modules_of
from parity.frameworks.rllib.module import same_entries, same_tensors
from parity.results.capture import Capture, Context, Correspondence, Decisions, ModuleFacts, Resets, Step
from parity.task.masks import MASK_KEY, choices, is_empty, is_legal

# Enough for several ends per sub-environment where episodes are short; longer ones are waited for up to the second figure.
ENV_STEPS = 256
MOST_ENV_STEPS = 2_048
SUB_ENVIRONMENTS = 4
# On which a synchronised env runner is compared with the learner.
SYNCHRONISED_ROWS = 32


@dataclasses.dataclass
class PortRollout:
    """A port opened for its numbers; SB3's side works on the same objects.

    Attributes:
        capture: what is collected.
        runner, learner: RLlib's, as the port's configuration makes them.
        recordings: the environment's side of the rollout, one of each sub-environment.
        episode_places: id of RLlib's episode -> sub-environment and number of its episode.
        batches: module id -> the learner's columns, tensors: what ``forward_train`` and the loss get.
        seen: the same with the observations as the connectors made them; a module's ``compute_values`` may take them apart.
        entries: the observations of those rows; of a recurrent module `seen` has the rows' numbers in their place.
        padded: of a recurrent module its sequences, with the observations as the connectors made them.
        modules: ids of the modules that are compared and have rows.
        copies: the modules as they were before the update.
        after: module id -> the observations that followed the last row of each chunk, columns of arrays.
        connected: module id -> observations of the decisions behind connectors that change their entries, arrays by path.
        checker: reads every environment that is played.
        first_calls: of the first sub-environment.
    """

    port: Port
    capture: Capture
    runner: Any = None
    learner: Any = None
    recordings: list[Recording] = dataclasses.field(default_factory=list)
    episode_places: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    seen: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    entries: dict[str, Any] = dataclasses.field(default_factory=dict)
    padded: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    modules: list[str] = dataclasses.field(default_factory=list)
    copies: dict[str, Any] = dataclasses.field(default_factory=dict)
    after: dict[str, Any] = dataclasses.field(default_factory=dict)
    connected: dict[str, Any] = dataclasses.field(default_factory=dict)
    checker: EnvContractChecker = dataclasses.field(default_factory=EnvContractChecker)
    first_calls: FirstCalls = dataclasses.field(default_factory=FirstCalls)

    @property
    def context(self) -> Context:
        return self.capture.context

    def of(self, module_id: str) -> ModuleCapture:
        """Where a module's numbers go."""
        return ModuleCapture(self.capture, module_id)

    def part(self, name: str) -> contextlib.AbstractContextManager[None]:
        """See `parity.capture.raised.part`."""
        return part(self.context, name)

    def read(self, index: int, env: Any) -> list[EnvReader]:
        """What reads a sub-environment of the rollout."""
        self.recordings.append(Recording(index, env, self.port.mask_key))
        readers = [self.checker.reader(env, f"sub-environment {index}"), self.recordings[-1]]
        return [self.first_calls, *readers] if index == 0 else readers

    def place_episode(self, *, episode: Any, env_index: int, **_: Any) -> None:
        """RLlib's callback ``on_episode_start``: the episode began with its sub-environment's latest reset."""
        self.episode_places[episode.id_] = (env_index, len(self.recordings[env_index].seeds) - 1)

    def module(self, module_id: str) -> Any:
        """The learner's module."""
        return self.learner.module[module_id].unwrapped()

    def shown(self, module_id: str) -> Any:
        """What the environment showed a module, behind the connectors: arrays ``[N, …]``, nested; None where it is not known.

        Where the learner has no batch of it, what its agents saw, if connectors leave the module their observation space.
        """
        space = self.module(module_id).observation_space
        # A module may have taken its observations apart in the learner's batch.
        if module_id in self.seen and same_entries(self.entries[module_id], space):
            rows = self.of(module_id).decisions(len(self.seen[module_id][Columns.ACTIONS]))
            return tree.map_structure(array, take(self.entries[module_id], rows))
        agents = {
            agent
            for agent, (observed, _) in self.port.agents.items()
            if module_id in modules_of(self.port.config, agent) and same_tensors(observed, space)
        }
        observations = [seen for each in self.recordings for agent, seen in each.shown() if agent in agents]
        return tree.map_structure(array, stack(observations)) if observations else None

    def as_rows(self, module_id: str, of: Any = None) -> Any:
        """The learner's module, or ``of``, as it takes the rows of `seen`: a recurrent one by their numbers."""
        module = self.module(module_id) if of is None else of
        if not is_recurrent(module):
            return module
        return unrolled(module, self.padded[module_id])

    def compared(self) -> list[str]:
        """Ids of the trained modules whose actions MaskablePPO has; the learning agent's in any case."""
        return [
            m
            for m, facts in self.context.modules.items()
            if facts.trained and (facts.choices is not None or m == self.port.learning_module)
        ]

    def frozen(self) -> list[str]:
        """Ids of the modules that the configuration does not train."""
        return [m for m, facts in self.context.modules.items() if not facts.trained]


Weights = dict[str, dict[str, torch.Tensor]]
Initial = Callable[[Any], tuple[Weights, Correspondence]]


def roll_out(capture: Capture, port: Port, initial: Initial) -> PortRollout:
    """Opens a port and collects its numbers.

    Args:
        capture: to put them into.
        initial: given the learner, says which parameters to copy into which module before anything is computed, and how
            they were paired.
    """
    rollout = PortRollout(port, capture)
    context = capture.context
    context.learning_module, context.learning_agent = port.learning_module, str(port.learning_agent)
    with rollout.part("build"):
        _build(rollout, initial)
    if rollout.learner is None:
        return rollout
    episodes: list[Any] = []
    with rollout.part("sample"):
        episodes = _sample(rollout)
    if episodes:
        with rollout.part("batch"):
            _batch(rollout, episodes)
    for module_id in rollout.compared():
        if is_recurrent(rollout.module(module_id)) and module_id not in rollout.batches:
            continue  # it has no sequences, and what has stopped them is told
        # Also where the rollout has stopped: what the module does there may say why.
        with rollout.part(f"space {module_id}"):
            own, module = rollout.of(module_id), rollout.as_rows(module_id)
            behaviour.random_observations(own, module, rollout.shown(module_id))
    for module_id in rollout.modules:
        own, module, columns = rollout.of(module_id), rollout.as_rows(module_id), rollout.seen[module_id]
        with rollout.part(f"forward {module_id}"):
            behaviour.forward(own, module, columns, rollout.after.get(module_id))
        with rollout.part(f"sensitivity {module_id}"):
            behaviour.sensitivity(own, module, columns)
            registered = {id(p) for m in context.modules for p in named_parameters(rollout.module(m)).values()}
            own.facts.unregistered_tensors = behaviour.unregistered_tensors(module, registered, columns)
    if rollout.batches:
        with rollout.part("update"):
            watched_update(capture, rollout.learner, rollout.batches)
            stress(capture, rollout.learner, rollout.batches)
        with rollout.part("synchronise"):
            _synchronise(rollout)
        if "update" not in context.raised:
            with rollout.part("update again"):
                between_updates(capture, rollout.learner, rollout.batches)
        for module_id in rollout.frozen():
            capture.step[module_id].last = parameters(rollout.module(module_id))
    return rollout


def _build(rollout: PortRollout, initial: Initial) -> None:
    config, contract, context = rollout.port.config.copy(copy_frozen=False), rollout.capture.contract, rollout.context
    contract.env_check = checked_by_rllib(rollout.port)
    envs = min(SUB_ENVIRONMENTS, config.num_envs_per_env_runner)
    config.num_env_runners = 0
    config.num_learners = 0
    config.num_envs_per_env_runner = envs
    config.train_batch_size_per_learner = ENV_STEPS
    # At least two samples: whether each starts anew shows only then, and episodes are cut between them.
    # With four sub-environments a prime number of steps: episodes of one length would end with every sample otherwise.
    config.rollout_fragment_length = ENV_STEPS // (2 * envs) + 5
    # A function, as RLlib copies the configuration and all the objects in it.
    placing = [*force_list(config.callbacks_on_episode_start), lambda **event: rollout.place_episode(**event)]
    config.callbacks(on_episode_start=placing)
    rollout.runner = make_env_runner(config)
    tap_sub_environments(rollout.runner, rollout.read)
    learner = rollout.learner = config.build_learner(env=None, spaces=rollout.runner.get_spaces())
    context.modules = {
        str(module_id): _module_facts(rollout, module_id)
        for module_id in learner.module.keys()  # noqa: SIM118
    }
    contract.initial = parameters(rollout.module(rollout.port.learning_module))
    weights, context.correspondence = initial(learner)
    for module_id, values in weights.items():
        rollout.module(module_id).load_state_dict(values, strict=False)
    rollout.runner.set_state(
        {COMPONENT_RL_MODULE: learner.get_state(components=COMPONENT_RL_MODULE)[COMPONENT_RL_MODULE]}
    )
    for module_id in context.modules:
        before = parameters(rollout.module(module_id))
        if context.modules[module_id].trained:
            rollout.of(module_id).fill_weights(before)
        else:
            rollout.capture.step[module_id] = Step(module=module_id, before=before)
        if module_id == rollout.port.learning_module:
            contract.weights = before
    asked = config.policies_to_train
    if asked is not None and not callable(asked):
        contract.policies_to_train = sorted(map(str, asked))
    contract.learner = type(learner).__qualname__


def _synchronise(rollout: PortRollout) -> None:
    """Gives the learner's new weights to the env runner: logits of both."""
    state = rollout.learner.get_state(components=COMPONENT_RL_MODULE, inference_only=True)[COMPONENT_RL_MODULE]
    rollout.runner.set_state({COMPONENT_RL_MODULE: state})
    for module_id in rollout.modules:
        own = rollout.of(module_id)
        if not own.rows.has("valid") or module_id not in rollout.runner.module:
            continue
        shown = take(rollout.seen[module_id][Columns.OBS], np.flatnonzero(own.rows.valid)[:SYNCHRONISED_ROWS])
        logits = {}
        for name, module in (
            ("learner", rollout.as_rows(module_id)),
            ("env runner", rollout.as_rows(module_id, rollout.runner.module[module_id].unwrapped())),
        ):
            device = device_of(module)
            given = tree.map_structure(lambda leaf, device=device: leaf.detach().clone().to(device), shown)
            with torch.no_grad(), torch.random.fork_rng():
                torch.manual_seed(0)
                logits[name] = array(module.forward_exploration({Columns.OBS: given})[Columns.ACTION_DIST_INPUTS])
        own.update.synchronised = logits


def _module_facts(rollout: PortRollout, module_id: str) -> ModuleFacts:
    module = rollout.module(module_id)
    return ModuleFacts(
        class_name=type(module).__name__,
        runner_class=type(rollout.runner.module[module_id].unwrapped()).__name__,
        value_function_api=isinstance(module, ValueFunctionAPI),
        compute_values=behaviour.has_values(module),
        trained=bool(rollout.learner.should_module_be_updated(module_id)),
        parameters={name: list(p.shape) for name, p in named_parameters(module).items()},
        phases={phase: _computed_by(module, method) for phase, method in rollout.context.phases.items()},
        frozen=[name for name, p in named_parameters(module).items() if not p.requires_grad],
        batch_statistics=[
            name
            for name, part in _parts(module)
            if isinstance(part, torch.nn.modules.batchnorm._BatchNorm) and part.training and part.track_running_stats
        ],
        choices=_choices(module.action_space),
        distribution_inputs=_distribution_inputs(rollout.context, module),
        mask_key=_mask_key(rollout.port, module),
        mask_in_space=_mask_key(rollout.port, module) in getattr(module.observation_space, "spaces", {}),
        no_distribution=behaviour.missing_distributions(module),
        recurrent=is_recurrent(module),
    )


def _computed_by(module: Any, method: str) -> str:
    """A phase's method, or ``_forward`` where the class leaves it to RLlib's own, which calls that."""
    owner = next((each for each in type(module).__mro__ if method in vars(each)), None)
    return "_forward" if owner in (RLModule, TorchRLModule) else method


def _mask_key(port: Port, module: Any) -> str:
    return port.mask_key if port.mask_key in getattr(module.observation_space, "spaces", {}) else MASK_KEY


def _parts(module: Any) -> list[tuple[str, torch.nn.Module]]:
    return list(module.named_modules()) if isinstance(module, torch.nn.Module) else []


def _distribution_inputs(context: Context, module: Any) -> int | None:
    """How many numbers the module's own distribution class takes; None where it does not say."""
    try:
        distribution = behaviour.distribution_class(module, "train")
        return int(distribution.required_input_dim(space=module.action_space, model_config=module.model_config))
    except Exception as error:
        note(
            context, f"the action distribution of {type(module).__name__} does not say how many inputs it takes", error
        )
        return None


def _choices(action_space: Any) -> list[int] | None:
    try:
        return choices(action_space)
    except CannotStart:
        return None


def _sample(rollout: PortRollout) -> list[Any]:
    """One rollout as the algorithm would take it, until an episode has ended by itself. Returns its episodes."""
    recordings = rollout.recordings
    try:
        episodes = _sample_until_an_end(rollout)
    except Exception:
        rollout.context.refused = _illegal_moves(rollout)
        raise
    rollout.context.sub_environments = len(recordings)
    rollout.capture.contract.resets = Resets(
        seeds=[recording.seeds for recording in recordings],
        starts=[recording.starts for recording in recordings],
        shared_arrays=sorted(set().union(*(recording.shared_arrays for recording in recordings))),
    )
    return episodes


def _illegal_moves(rollout: PortRollout) -> dict[str, int]:
    """Agent -> how many of its actions the mask forbade that the environment had shown before."""
    illegal: Counter[str] = Counter()
    for recording in rollout.recordings:
        for (_, agent), moves in recording.moves.items():
            space = rollout.port.agents[agent][1] if agent in rollout.port.agents else None
            illegal[str(agent)] += sum(
                move.mask is not None and not is_empty(move.mask, space) and not is_legal(move.mask, move.action, space)
                for move in moves
                if space is not None
            )
    return {agent: times for agent, times in illegal.items() if times}


def _sample_until_an_end(rollout: PortRollout) -> list[Any]:
    episodes: list[Any] = []
    wanted = ENV_STEPS
    while True:
        while sum(episode.env_steps() for episode in episodes) < wanted:
            episodes += rollout.runner.sample()
        ended = any(
            move.terminated or move.truncated
            for recording in rollout.recordings
            for moves in recording.moves.values()
            for move in moves
        )
        if ended or wanted >= MOST_ENV_STEPS:
            return episodes
        wanted = MOST_ENV_STEPS


def _batch(rollout: PortRollout, episodes: list[Any]) -> None:
    # The pipeline adds a timestep to the episodes that it is given.
    chunks = _chunks(rollout, episodes)
    with _observations_given(rollout) as given:
        batch = rollout.learner._learner_connector(
            rl_module=rollout.learner.module,
            batch={},
            episodes=copy.deepcopy(episodes),
            shared_data={},
            metrics=rollout.learner.metrics,
        )
    for module_id, columns in batch.items():
        if not rollout.learner.should_module_be_updated(module_id):
            continue
        rollout.batches[module_id] = dict(columns)
        if module_id not in rollout.compared():
            continue
        rollout.modules.append(module_id)
        module = rollout.module(module_id)
        if is_recurrent(module):
            sequences = Sequences(columns)
            observations = given.get(module_id, columns[Columns.OBS])
            padded = rollout.padded[module_id] = {**columns, Columns.OBS: observations}
            rollout.seen[module_id] = sequences.by_row(columns)
            rollout.entries[module_id] = sequences.rows(observations)
            on_cpu = tree.map_structure(lambda leaf: leaf.cpu() if isinstance(leaf, torch.Tensor) else leaf, padded)
            rollout.copies[module_id] = unrolled(duplicate(module).cpu(), on_cpu, anew=True)
        else:
            lengths = [len(chunk) for chunk in chunks.get(module_id, [])]
            rollout.seen[module_id] = {**columns, Columns.OBS: _as_given(given.get(module_id), columns, lengths)}
            rollout.entries[module_id] = rollout.seen[module_id][Columns.OBS]
            rollout.copies[module_id] = duplicate(module).cpu()
        arrays = flat(rollout.seen[module_id])
        rollout.of(module_id).fill_batch(by_entry(rollout.entries[module_id]), arrays)
        _identify(rollout, module_id, chunks.get(module_id, []), rows=len(arrays[Columns.ACTIONS]))


@contextlib.contextmanager
def _observations_given(rollout: PortRollout) -> Iterator[dict[str, Any]]:
    """Module id -> the observations that the learner's connectors first show to its ``compute_values``.

    That call is inside the pipeline, on the very batch that training gets, and RLlib's own ActionMaskingTorchRLModule takes
    the mask out of the observations there.
    """
    given: dict[str, Any] = {}
    with contextlib.ExitStack() as stack_:
        for module_id, facts in rollout.context.modules.items():
            module = rollout.module(module_id)
            if not facts.trained or not behaviour.has_values(module):
                continue

            def remembering(
                batch: Any, *args: Any, _of: str = module_id, _compute: Any = module.compute_values, **kwargs: Any
            ) -> Any:
                # The containers are copied, not the tensors.
                given.setdefault(_of, tree.map_structure(lambda leaf: leaf, batch[Columns.OBS]))
                return _compute(batch, *args, **kwargs)

            stack_.enter_context(replaced(module, compute_values=remembering))
        yield given


def _as_given(given: Any, columns: dict[str, Any], lengths: list[int]) -> Any:
    """The observations of the rows that are left in the batch; the batch's own where they cannot be told apart.

    Args:
        given: what ``compute_values`` was shown, perhaps with a row for bootstrapping after each chunk; None if nothing.
        lengths: rows of each chunk.
    """
    rows = len(columns[Columns.ACTIONS])
    shown = 0 if given is None else len(tree.flatten(given)[0])
    if shown == rows:
        return given
    if shown == sum(lengths) + len(lengths) and rows == sum(lengths):
        decisions = np.delete(np.arange(shown), np.cumsum([length + 1 for length in lengths]) - 1)
        return take(given, decisions)
    return columns[Columns.OBS]


def _chunks(rollout: PortRollout, episodes: list[Any]) -> dict[str, list[list[Move]]]:
    """Module id -> for each chunk of an agent's episode, in the learner's order, the environment's moves of its rows."""
    chunks: dict[str, list[list[Move]]] = defaultdict(list)
    used: Counter[str] = Counter()
    played_by: dict[str, Counter[str]] = defaultdict(Counter)
    for episode in episodes:
        env, number = rollout.episode_places[episode.id_]
        # In the order of RLlib's connectors, which is a set's: not that of the episode's agents.
        for agent in episode.agent_ids:
            agent_episode = episode.agent_episodes[agent]
            first, length = agent_episode.t_started, len(agent_episode)
            moves = rollout.recordings[env].moves.get((number, agent), [])
            used[str(agent)] += length
            played_by[str(agent)][str(agent_episode.module_id)] += length
            chunks[agent_episode.module_id].append(moves[first : first + length])
    played: Counter[str] = Counter()
    for recording in rollout.recordings:
        for (_, agent), moves in recording.moves.items():
            played[str(agent)] += len(moves)
    rollout.context.played_by = {agent: dict(counts) for agent, counts in played_by.items()}
    rollout.context.decisions = {a: Decisions(played=n, learned_from=used[a]) for a, n in played.items()}
    return chunks


def _identify(rollout: PortRollout, module_id: str, chunks: list[list[Move]], rows: int) -> None:
    """Which row of the batch is which decision. RLlib appends one row per chunk for bootstrapping, with loss_mask False."""
    moves = [move for chunk in chunks for move in chunk]
    if rows not in (len(moves), len(moves) + len(chunks)):
        rollout.context.unplaced[module_id] = {"batch": rows, "decisions": len(moves)}
        return
    own = rollout.of(module_id).rows
    fill_rows(rollout.context, own, chunks, appended=rows > len(moves))
    with rollout.part(f"observations {module_id}"):
        own.observations = by_entry(stack([move.observation for move in moves]))
        # Where the recording ends at an agent's last action, what follows is not known; its own observation stands in.
        ends = [chunk[-1] for chunk in chunks]
        after = stack([end.observation if end.after is None else end.after for end in ends])
        rollout.after[module_id] = flat(after) if isinstance(after, dict | tuple) else array(after)
        _as_connected(rollout, module_id)


def _as_connected(rollout: PortRollout, module_id: str) -> None:
    """Where connectors give the module other entries than the environment shows, it can take nothing but what it got."""
    own, seen = rollout.of(module_id).rows, rollout.seen[module_id][Columns.OBS]
    decisions, bootstraps = (by_entry(take(seen, np.flatnonzero(rows))) for rows in (own.valid, ~own.valid))
    shown = own.observations
    if shown.keys() == decisions.keys() and all(shown[name].size == decisions[name].size for name in shown):
        return
    rollout.connected[module_id] = decisions
    ends = int((np.diff(own.chunk) != 0).sum()) + 1
    if int((~own.valid).sum()) == ends:
        rollout.after[module_id] = bootstraps if isinstance(seen, dict | tuple) else bootstraps[OBSERVATIONS_KEY]
    else:
        del rollout.after[module_id]
