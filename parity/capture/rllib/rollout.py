"""What the ladder compares, collected from a port: one small rollout, the learner's batch of it, one short update.

Nothing is judged here. RLlib's own env runner, connectors and learner do the work, in this process and without a Ray
cluster; the environment's side is written down by `Recording`. Every part that raises is noted in
``facts["raised"]`` with its traceback, and what depends on it is left out.

Arrays, for every module that is trained (``M`` its id, ``R`` its rows in the learner's batch, bootstrap rows included,
``V`` those that stand for decisions):

    M/weights/PARAM             before the update
    M/rows/valid                bool [R]
    M/rows/chunk                int64 [V], number of the episode chunk, counted from 0; rows of a chunk are in time order
    M/rows/{agent,env,episode,step}   int64 [V], whose decision a row is: agent's place in ``facts["agents"]``,
                                sub-environment, number of its episode, number of the agent's decision in it
    M/batch/COLUMN              what the loss sees: obs/…, actions, action_logp, rewards, terminateds, truncateds,
                                advantages, value_targets [R, …]
    M/env/{obs/…, mask, action, reward, terminated, truncated, done}   the environment's side of the valid rows [V, …]
    M/phase/{exploration,inference,train}/{logits, logp, entropy}      the module on the valid rows [V, …]
    M/phase/{…}/probability     [V, n_logits], as its distribution gives it
    M/values                    compute_values on all rows [R]
    M/bootstrap                 compute_values on what followed the last row of each chunk [chunks]
    M/initial/PARAM             as the port's code initialises it, before weights are copied in
    M/reach/PARAM               float64 [2]: how far log-probs of the actions and values move when it is disturbed
    M/twice/{first,second}      logits of the same batch, forward called twice
    M/space/{obs/…, mask, logits, probability, values}    on observations drawn from the space
    M/grown/{actions, values}, M/grown/phase/…, M/grown/chosen/…    on the same, with weights whose outputs are far apart
    M/update/rows               int64 [minibatches, longest], row numbers of each minibatch, -1 where shorter
    M/update/loss/{total, policy, value, entropy}   float64 [minibatches]
    M/update/raw_gradient/PARAM, M/update/gradient/PARAM   of the first minibatch, before and after clipping
    M/update/peak/PARAM         element by element the largest |gradient| of all minibatches, after clipping
    M/update/first/PARAM, M/update/last/PARAM              parameters after the first and after the last minibatch
    M/chosen/{actions, logp, wanted, probability}    of a module that picks its actions itself, see `behaviour`
    M/synchronised/{learner, env runner}    logits after the learner's new weights were given to the env runner
    M/between/{before,after}/NAME    parameters and the optimiser's state after that update, and when the next one first steps
    M/stress/…                  the loss at ratios far from 1, see `parity.capture.rllib.stress`

and for every module that is not trained ``M/weights/PARAM`` and ``M/update/last/PARAM``.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import tree
from ray.rllib.core import COMPONENT_RL_MODULE
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.utils import force_list

from parity.capture.notes import note
from parity.capture.rllib import behaviour
from parity.capture.rllib.env_contract import EnvContractChecker
from parity.capture.rllib.hooks import replaced
from parity.capture.rllib.recording import Move, Recording
from parity.capture.rllib.repetition import FirstCalls
from parity.capture.rllib.stress import stress
from parity.capture.rllib.update import between_updates, watched_update
from parity.errors import CannotStart
from parity.frameworks.rllib.arrays import array, duplicate, flat, named_parameters, parameters, stack, take
from parity.frameworks.rllib.config import Port
from parity.frameworks.rllib.env_tap import EnvReader, tap_sub_environments
from parity.frameworks.rllib.eval_runner import make_env_runner
from parity.results.capture import Numbers
from parity.task.masks import MASK_KEY, choices

# Enough for several ends per sub-environment where episodes are short; longer ones are waited for up to the second figure.
ENV_STEPS = 256
MOST_ENV_STEPS = 2_048
SUB_ENVIRONMENTS = 4
# On which a synchronised env runner is compared with the learner.
SYNCHRONISED_ROWS = 32


@dataclasses.dataclass
class Probe:
    """A port opened for its numbers; the counterpart on SB3's side works on the same objects.

    Attributes:
        runner, learner: RLlib's, as the port's configuration makes them.
        recordings: the environment's side of the rollout, one of each sub-environment.
        episode_places: id of RLlib's episode -> sub-environment and number of its episode.
        batches: module id -> the learner's columns, tensors: what ``forward_train`` and the loss get.
        seen: the same with the observations as the connectors made them; a module's ``compute_values`` may take them apart.
        modules: ids of the modules that are compared and have rows.
        copies: the modules as they were before the update.
        after: module id -> the observations that followed the last row of each chunk, columns of arrays.
        checker: reads every environment that is played.
        first_calls: of the first sub-environment.
    """

    port: Port
    numbers: Numbers
    runner: Any = None
    learner: Any = None
    recordings: list[Recording] = dataclasses.field(default_factory=list)
    episode_places: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    seen: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    modules: list[str] = dataclasses.field(default_factory=list)
    copies: dict[str, Any] = dataclasses.field(default_factory=dict)
    after: dict[str, Any] = dataclasses.field(default_factory=dict)
    checker: EnvContractChecker = dataclasses.field(default_factory=EnvContractChecker)
    first_calls: FirstCalls = dataclasses.field(default_factory=FirstCalls)

    def read(self, index: int, env: Any) -> list[EnvReader]:
        """What reads a sub-environment of the rollout."""
        self.recordings.append(Recording(index, env))
        readers = [self.checker.reader(env, f"sub-environment {index}"), self.recordings[-1]]
        return [self.first_calls, *readers] if index == 0 else readers

    def place_episode(self, *, episode: Any, env_index: int, **_: Any) -> None:
        """RLlib's callback ``on_episode_start``: the episode began with its sub-environment's latest reset."""
        self.episode_places[str(episode.id_)] = [env_index, len(self.recordings[env_index].seeds) - 1]

    def module(self, module_id: str) -> Any:
        """The learner's module."""
        return self.learner.module[module_id].unwrapped()

    def agent(self, agent: Any) -> int:
        """The agent's place in ``facts["agents"]``."""
        agents = self.numbers.facts.setdefault("agents", [])
        if str(agent) not in agents:
            agents.append(str(agent))
        return agents.index(str(agent))

    def trained(self) -> list[str]:
        """Ids of the modules that the configuration trains."""
        return [m for m, facts in self.numbers.facts["modules"].items() if facts["trained"]]

    def compared(self) -> list[str]:
        """Those of them whose actions MaskablePPO has; the learning agent's in any case."""
        facts = self.numbers.facts["modules"]
        return [m for m in self.trained() if facts[m]["choices"] is not None or m == self.port.learning_module]

    def frozen(self) -> list[str]:
        return [m for m, facts in self.numbers.facts["modules"].items() if not facts["trained"]]

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Notes what is raised inside under ``facts["raised"][name]`` and goes on.

        Raises:
            CannotStart: bad input is the user's to mend before there is anything to compare.
        """
        try:
            yield
        except CannotStart:
            raise
        except Exception as error:
            self.numbers.facts.setdefault("raised", {})[name] = {
                "type": type(error).__name__,
                "message": _in_words(error),
                "traceback": traceback.format_exc(),
            }


def _in_words(error: BaseException) -> str:
    """The message on one line; RLlib wraps what an environment raises into a RuntimeError that says nothing itself."""
    causes = [error]
    while causes[-1].__cause__ is not None and causes[-1].__cause__ not in causes:
        causes.append(causes[-1].__cause__)
    first, *others = causes
    told = [" ".join(str(first).split())] if str(first).strip() else []
    told += [f"{type(cause).__name__}: {' '.join(str(cause).split())}" for cause in others]
    return "; from ".join(dict.fromkeys(told)) if told else "no message"


Weights = dict[str, dict[str, torch.Tensor]]


def probe(numbers: Numbers, port: Port, initial: Callable[[Any], tuple[Weights, dict[str, Any]]]) -> Probe:
    """Opens a port and collects its numbers.

    Args:
        numbers: to put them into.
        initial: given the learner, says which parameters to copy into which module before anything is computed, and how
            they were paired (stored as ``facts["correspondence"]``).
    """
    found = Probe(port, numbers)
    found.numbers.facts |= {
        "learning_module": port.learning_module,
        "learning_agent": port.learning_agent,
        "raised": {},
    }
    with found.part("build"):
        _build(found, initial)
    if found.learner is None:
        return found
    for module_id in found.compared():
        # Before the rollout: a port that plays illegal actions may not survive it.
        with found.part(f"space {module_id}"):
            behaviour.space(found.numbers, module_id, found.module(module_id))
    episodes: list[Any] = []
    with found.part("sample"):
        episodes = _sample(found)
    if not episodes:
        return found
    with found.part("batch"):
        _batch(found, episodes)
    for module_id in found.modules:
        module, columns = found.module(module_id), found.seen[module_id]
        with found.part(f"forward {module_id}"):
            behaviour.forward(found.numbers, module_id, module, columns, found.after.get(module_id))
        with found.part(f"reach {module_id}"):
            behaviour.reach(found.numbers, module_id, module, columns)
            registered = {
                id(p) for m in found.numbers.facts["modules"] for p in named_parameters(found.module(m)).values()
            }
            stray = behaviour.strays(module, registered, columns)
            found.numbers.facts.setdefault("strays", {})[module_id] = stray
    if found.batches:
        with found.part("update"):
            watched_update(found.numbers, found.learner, found.batches)
            stress(found.numbers, found.learner, found.batches)
        with found.part("synchronise"):
            _synchronise(found)
        if "update" not in found.numbers.facts["raised"]:
            with found.part("update again"):
                between_updates(found.numbers, found.learner, found.batches)
        for module_id in found.frozen():
            found.numbers.put(f"{module_id}/update/last", parameters(found.module(module_id)))
    return found


def _build(found: Probe, initial: Callable[[Any], tuple[Weights, dict[str, Any]]]) -> None:
    config = found.port.config.copy(copy_frozen=False)
    envs = min(SUB_ENVIRONMENTS, config.num_envs_per_env_runner)
    config.num_env_runners = 0
    config.num_learners = 0
    config.num_envs_per_env_runner = envs
    config.train_batch_size_per_learner = ENV_STEPS
    # At least two samples: whether each starts anew shows only then, and episodes are cut between them.
    # With four sub-environments a prime number of steps: episodes of one length would end with every sample otherwise.
    config.rollout_fragment_length = ENV_STEPS // (2 * envs) + 5
    # A function, as RLlib copies the configuration and all the objects in it.
    placing = [*force_list(config.callbacks_on_episode_start), lambda **event: found.place_episode(**event)]
    config.callbacks(on_episode_start=placing)
    found.runner = make_env_runner(config)
    tap_sub_environments(found.runner, found.read)
    learner = config.build_learner(env=None, spaces=found.runner.get_spaces())
    found.learner = learner
    found.numbers.facts["modules"] = {
        str(module_id): _module_facts(found.numbers, learner, found.runner, module_id)
        for module_id in learner.module.keys()  # noqa: SIM118
    }
    found.numbers.put(f"{found.port.learning_module}/initial", parameters(found.module(found.port.learning_module)))
    weights, found.numbers.facts["correspondence"] = initial(learner)
    for module_id, values in weights.items():
        found.module(module_id).load_state_dict(values, strict=False)
    found.runner.set_state(
        {COMPONENT_RL_MODULE: learner.get_state(components=COMPONENT_RL_MODULE)[COMPONENT_RL_MODULE]}
    )
    for module_id in [*found.trained(), *found.frozen()]:
        found.numbers.put(f"{module_id}/weights", parameters(found.module(module_id)))
    asked = config.policies_to_train
    found.numbers.facts["policies_to_train"] = None if asked is None or callable(asked) else sorted(map(str, asked))
    found.numbers.facts["learner"] = type(learner).__qualname__


def _synchronise(found: Probe) -> None:
    """``M/synchronised/{learner, env runner}``: logits of both after the learner's new weights went to the env runner."""
    state = found.learner.get_state(components=COMPONENT_RL_MODULE, inference_only=True)[COMPONENT_RL_MODULE]
    found.runner.set_state({COMPONENT_RL_MODULE: state})
    for module_id in found.modules:
        valid = found.numbers.get(f"{module_id}/rows/valid")
        if valid is None or module_id not in found.runner.module:
            continue
        shown = take(found.seen[module_id][Columns.OBS], np.flatnonzero(valid)[:SYNCHRONISED_ROWS])
        for name, module in (
            ("learner", found.module(module_id)),
            ("env runner", found.runner.module[module_id].unwrapped()),
        ):
            device = next((p.device for p in named_parameters(module).values()), torch.device("cpu"))
            given = tree.map_structure(lambda leaf, device=device: leaf.detach().clone().to(device), shown)
            with torch.no_grad(), torch.random.fork_rng():
                torch.manual_seed(0)
                logits = module.forward_exploration({Columns.OBS: given})[Columns.ACTION_DIST_INPUTS]
            found.numbers.put(f"{module_id}/synchronised", {name: array(logits)})


def _module_facts(numbers: Numbers, learner: Any, runner: Any, module_id: str) -> dict[str, Any]:
    module = learner.module[module_id].unwrapped()
    return {
        "class": type(module).__name__,
        "runner_class": type(runner.module[module_id].unwrapped()).__name__,
        "value_function_api": isinstance(module, ValueFunctionAPI),
        "compute_values": callable(getattr(module, "compute_values", None)),
        "trained": bool(learner.should_module_be_updated(module_id)),
        "parameters": {name: list(p.shape) for name, p in named_parameters(module).items()},
        "frozen": [name for name, p in named_parameters(module).items() if not p.requires_grad],
        "choices": _choices(module.action_space),
        "distribution_inputs": _distribution_inputs(numbers, module),
        "mask_in_space": MASK_KEY in getattr(module.observation_space, "spaces", {}),
    }


def _distribution_inputs(numbers: Numbers, module: Any) -> int | None:
    """How many numbers the module's own distribution class takes; None where it does not say."""
    try:
        distribution = module.get_train_action_dist_cls()
        return int(distribution.required_input_dim(space=module.action_space, model_config=module.model_config))
    except Exception as error:
        note(
            numbers, f"the action distribution of {type(module).__name__} does not say how many inputs it takes", error
        )
        return None


def _choices(action_space: Any) -> list[int] | None:
    try:
        return choices(action_space)
    except CannotStart:
        return None


def _sample(found: Probe) -> list[Any]:
    """One rollout as the algorithm would take it, until an episode has ended by itself."""
    calls = _sample_until_an_end(found)
    found.numbers.facts["episode_ids"] = found.episode_places
    found.numbers.facts["reset_seeds"] = [recording.seeds for recording in found.recordings]
    found.numbers.facts["sample_calls"] = len(calls)
    found.numbers.facts["starts"] = [recording.starts for recording in found.recordings]
    found.numbers.facts["shared_arrays"] = sorted(set().union(*(each.shared_arrays for each in found.recordings)))
    return [episode for call in calls for episode in call]


def _sample_until_an_end(found: Probe) -> list[list[Any]]:
    """Episodes of each ``sample()``."""
    calls: list[list[Any]] = []
    wanted = ENV_STEPS
    while True:
        while sum(episode.env_steps() for call in calls for episode in call) < wanted:
            calls.append(found.runner.sample())
        ended = any(
            move.terminated or move.truncated
            for recording in found.recordings
            for moves in recording.moves.values()
            for move in moves
        )
        if ended or wanted >= MOST_ENV_STEPS:
            return calls
        wanted = MOST_ENV_STEPS


def _batch(found: Probe, episodes: list[Any]) -> None:
    # The pipeline adds a timestep to the episodes that it is given.
    chunks = _chunks(found, episodes)
    with _observations_given(found) as given:
        batch = found.learner._learner_connector(
            rl_module=found.learner.module,
            batch={},
            episodes=copy.deepcopy(episodes),
            shared_data={},
            metrics=found.learner.metrics,
        )
    for module_id, columns in batch.items():
        if not found.learner.should_module_be_updated(module_id):
            continue
        found.batches[module_id] = dict(columns)
        if module_id not in found.compared():
            continue
        found.modules.append(module_id)
        lengths = [len(chunk) for chunk in chunks.get(module_id, [])]
        found.seen[module_id] = {**columns, Columns.OBS: _as_given(given.get(module_id), columns, lengths)}
        found.copies[module_id] = duplicate(found.module(module_id)).cpu()
        arrays = flat(found.seen[module_id])
        found.numbers.put(f"{module_id}/batch", arrays)
        _identify(found, module_id, chunks.get(module_id, []), rows=len(arrays[Columns.ACTIONS]))


@contextlib.contextmanager
def _observations_given(found: Probe) -> Iterator[dict[str, Any]]:
    """Module id -> the observations that the learner's connectors first show to its ``compute_values``.

    That call is inside the pipeline, on the very batch that training gets, and RLlib's own ActionMaskingTorchRLModule takes
    the mask out of the observations there.
    """
    given: dict[str, Any] = {}
    with contextlib.ExitStack() as stack_:
        for module_id in found.trained():
            module = found.module(module_id)
            if not behaviour.has_values(module):
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
        return take(given, np.flatnonzero(_without_appended(lengths)))
    return columns[Columns.OBS]


def _without_appended(lengths: list[int]) -> np.ndarray:
    """Which rows stand for decisions where one is appended to each chunk, bool ``[rows]``."""
    return np.concatenate([np.arange(length + 1) < length for length in lengths])


def _chunks(found: Probe, episodes: list[Any]) -> dict[str, list[list[Move]]]:
    """Module id -> for each chunk of an agent's episode, in the learner's order, the environment's moves of its rows."""
    chunks: dict[str, list[list[Move]]] = {}
    used: dict[str, int] = {}
    for episode in episodes:
        env, number = found.episode_places[str(episode.id_)]
        # In the order of RLlib's connectors, which is a set's: not that of the episode's agents.
        for agent in episode.agent_ids:
            agent_episode = episode.agent_episodes[agent]
            moves = found.recordings[env].moves.get((number, agent), [])
            first = agent_episode.t_started
            used[str(agent)] = used.get(str(agent), 0) + len(agent_episode)
            played_by = found.numbers.facts.setdefault("played_by", {}).setdefault(str(agent), {})
            played_by[str(agent_episode.module_id)] = played_by.get(str(agent_episode.module_id), 0) + len(
                agent_episode
            )
            chunks.setdefault(agent_episode.module_id, []).append(moves[first : first + len(agent_episode)])
    played: dict[str, int] = {}
    for recording in found.recordings:
        for (_, agent), moves in recording.moves.items():
            played[str(agent)] = played.get(str(agent), 0) + len(moves)
    found.numbers.facts["decisions"] = {a: {"played": n, "learned_from": used.get(a, 0)} for a, n in played.items()}
    return chunks


def _identify(found: Probe, module_id: str, chunks: list[list[Move]], rows: int) -> None:
    """Which row of the batch is which decision. RLlib appends one row per chunk for bootstrapping, with loss_mask False."""
    lengths = [len(chunk) for chunk in chunks]
    moves = [move for chunk in chunks for move in chunk]
    if rows == sum(lengths) + len(lengths):
        valid = _without_appended(lengths)
    elif rows == sum(lengths):
        valid = np.ones(rows, dtype=bool)
    else:
        found.numbers.facts.setdefault("rows", {})[module_id] = {"batch": rows, "decisions": sum(lengths)}
        return
    numbers = found.numbers
    numbers.put(
        f"{module_id}/rows",
        {
            "valid": valid,
            "chunk": np.repeat(np.arange(len(lengths)), lengths),
            "agent": np.array([found.agent(move.agent) for move in moves]),
            "env": np.array([move.env for move in moves]),
            "episode": np.array([move.episode for move in moves]),
            "step": np.array([move.step for move in moves]),
        },
    )
    numbers.put(
        f"{module_id}/env",
        {
            "action": np.stack([np.asarray(move.action) for move in moves]),
            "reward": np.array([move.reward for move in moves]),
            "terminated": np.array([move.terminated for move in moves]),
            "truncated": np.array([move.truncated for move in moves]),
        },
    )
    if all(move.mask is not None for move in moves):
        numbers.put(f"{module_id}/env", {"mask": np.stack([move.mask for move in moves if move.mask is not None])})
    with found.part(f"observations {module_id}"):
        numbers.put(f"{module_id}/env", flat({"obs": stack([move.observation for move in moves])}))
        # Where the recording ends at an agent's last action, what follows is not known; its own observation stands in.
        ends = [chunk[-1] for chunk in chunks]
        after = stack([end.observation if end.after is None else end.after for end in ends])
        found.after[module_id] = flat(after) if isinstance(after, dict) else array(after)
