"""Rung 0: what RLlib asks of an environment of several agents, whoever plays in it."""

from __future__ import annotations

from parity.ladder.findings.rule import UPSTREAM, Rule

_ENV = "multi_agent_episode.py, ray 2.60"
# What stops, or comes out otherwise, where an environment breaks its word.
_STOPS = ("PAR036", "PAR310", "PAR312")

RULES = (
    Rule(
        code="PAR040",
        title="an observation is not in its space",
        severity="error",
        explanation=(
            "Networks are built for the space. Another shape, a missing entry or a NaN stops training or poisons it, sooner or "
            "later; a value out of bounds or of another dtype is a warning: neither framework looks at bounds."
        ),
        origin="The space was written for another version of the observation, or float64 is returned for float32.",
        fix='observation["…"].astype(space.dtype)  # or correct self.observation_spaces[agent]',
        explains=("PAR001", "PAR107", "PAR308", *_STOPS),
    ),
    Rule(
        code="PAR041",
        title="an agent that acted gets no reward",
        severity="error",
        explanation=(
            f"An agent that acts and sees something again in the same step needs a reward there: RLlib stops ({_ENV}). Where "
            "the episode ends for it without an observation, a missing reward counts as 0, which is a warning."
        ),
        origin="The last step returns no rewards, or only those of the agent that ended the game.",
        fix="rewards = {agent: reward[agent] for agent in observations}  # at the last step too",
        explains=("PAR032", "PAR306", *_STOPS),
    ),
    Rule(
        code="PAR042",
        title="an agent that acted gets no last observation where the episode is cut",
        severity="error",
        explanation=f"The value after a truncation is that of the last observation: without one RLlib stops ({_ENV}).",
        origin=(
            "At a time limit the environment returns no observations, or only that of the agent whose turn it is: everyone "
            "who has acted since its last observation needs one."
        ),
        fix='return {agent: observe(agent) for agent in self.agents}, rewards, {"__all__": False}, {"__all__": True}, infos',
        explains=("PAR030", "PAR033", "PAR305", *_STOPS),
        links=("https://github.com/stefanbschneider/mobile-env/pull/68",),
    ),
    Rule(
        code="PAR043",
        title="the end of an episode is not told under __all__",
        severity="error",
        explanation=(
            'RLlib asks terminateds["__all__"] whether to reset. Without the key it stops with a KeyError; where all agents '
            "have ended by name and it says False, the episode is over for RLlib and goes on in the environment."
        ),
        origin="Ends are reported by the agents' names alone, as Gymnasium's or PettingZoo's are.",
        fix='terminateds["__all__"] = all(terminateds.get(agent, False) for agent in self.possible_agents)',
        explains=("PAR033", "PAR304", "PAR305", "PAR309", *_STOPS),
    ),
    Rule(
        code="PAR044",
        title="an agent appears that is not among possible_agents",
        severity="error",
        explanation="There is neither a space nor a module for it: RLlib stops, or trains nothing of what it does.",
        origin="possible_agents leaves out agents that join later, or ids change from episode to episode.",
        fix="self.possible_agents = [...]  # in __init__: all agents that may ever appear",
        explains=("PAR002", "PAR309", *_STOPS),
        links=("https://github.com/stefanbschneider/mobile-env/issues/51",),
    ),
    Rule(
        code="PAR045",
        title="an agent that has left the episode is told something",
        severity="error",
        explanation=f"An observation, a reward or an info after an agent's own end stops RLlib ({_ENV}).",
        origin="Dictionaries are filled for all of possible_agents at every step.",
        fix="self.agents.remove(agent)  # after its end, and return only what concerns self.agents",
        explains=("PAR030", "PAR033", *_STOPS),
    ),
    Rule(
        code="PAR046",
        title="an agent never appears",
        severity="warning",
        explanation=(
            "It is among possible_agents and saw nothing in all episodes that were played, so its module gets no rows. Of the "
            "learning agent this is an error."
        ),
        origin="Another spelling of its id in reset() and step(), or an agent that joins very rarely.",
        fix="self.possible_agents = [...]  # the ids that reset() and step() use",
        explains=("PAR006", "PAR030", "PAR031", "PAR033"),
    ),
    Rule(
        code="PAR047",
        title="reset or step does not return what RLlib expects",
        severity="error",
        explanation=(
            "reset returns (observations, infos), step (observations, rewards, terminateds, truncateds, infos), each a "
            "dictionary by agent."
        ),
        origin="Gym's old API, or a PettingZoo AEC environment, whose methods return nothing.",
        fix="return observations, rewards, terminateds, truncateds, infos",
        explains=("PAR001", *_STOPS),
        links=(f"{UPSTREAM}/blob/ray-2.60.0/rllib/env/multi_agent_env.py",),
    ),
)
