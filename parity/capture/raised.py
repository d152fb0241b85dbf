"""Writes down what ports raise while their numbers are collected."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from typing import Any

from parity.errors import CannotStart, in_short, one_line, origin_in, root_of, type_of
from parity.results.capture import Context, Raised

# Pieces that RLlib puts into every pipeline (AlgorithmConfig.build_env_to_module_connector and the like, ray 2.60.0).
DEFAULT_CONNECTORS = frozenset({
    "AddObservationsFromEpisodesToBatch", "AddStatesFromEpisodesToBatch", "AddTimeDimToBatchAndZeroPad",
    "AddColumnsFromEpisodesToTrainBatch", "AddOneTsToEpisodesAndTruncate", "AgentToModuleMapping",
    "BatchIndividualItems", "GeneralAdvantageEstimation", "GetActions", "ListifyDataForVectorEnv",
    "ModuleToAgentUnmapping", "NormalizeAndClipActions", "NumpyToTensor", "RemoveSingleTsTimeRankFromBatch",
    "TensorToNumpy", "UnBatchToIndividualItems",
})  # fmt: skip


@contextlib.contextmanager
def part(context: Context, name: str) -> Iterator[None]:
    """Goes on after what is raised inside, which is then ``context.raised[name]``.

    Raises:
        CannotStart: bad input is the user's to mend before there is anything to compare.
    """
    try:
        yield
    except CannotStart:
        raise
    except (Exception, SystemExit, GeneratorExit) as error:
        context.raised[name] = raised(error)


def raised(error: BaseException) -> Raised:
    """An exception, with its traceback and the place in the user's code that it comes from."""
    text = "".join(traceback.format_exception(error))
    root, origin = root_of(error), origin_in(text)
    return Raised(
        type=type_of(root),
        message=one_line(root),
        traceback=text,
        place=None if origin is None or origin.is_framework else str(origin),
        function="" if origin is None else origin.function,
        connector=_connector(error),
    )


def _connector(error: BaseException) -> str:
    """Class of the port's own connector that RLlib was running or building; "" where there was none.

    A default piece that cannot be built trips over the spaces that a piece before it made: the last of the port's own.
    """
    frames = [(frame.f_code.co_name, frame.f_locals.get("self")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    running = [(name, each) for name, each in frames if _is_connector(each)]
    if not running:
        return ""
    last = running[-1][1]
    if not _is_default(last):
        return type(last).__name__
    if any(name == "__call__" for name, _ in running):
        return ""
    pieces = [piece for _, each in running for piece in getattr(each, "connectors", ())]
    before = pieces[: pieces.index(last)] if last in pieces else pieces
    return next((type(each).__name__ for each in reversed(before) if not _is_default(each)), "")


def _is_connector(value: Any) -> bool:
    return any(base.__name__ == "ConnectorV2" for base in type(value).__mro__)


def _is_default(piece: Any) -> bool:
    return hasattr(piece, "connectors") or type(piece).__name__ in DEFAULT_CONNECTORS


def note(context: Context, consequence: str, error: Exception) -> None:
    """Adds a sentence to ``context.notes``, unless it stands there already.

    Args:
        consequence: what the collection does without, as the beginning of the sentence.
    """
    sentence = f"{consequence}: {in_short(error)}"
    if sentence not in context.notes:
        context.notes.append(sentence)
