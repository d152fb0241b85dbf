"""From a search's result to the document that is stored and printed."""

from __future__ import annotations

from parity.bisect.ladder_outcome import LadderOutcome
from parity.bisect.parts import PortParts
from parity.bisect.search import Culprit, Keys, SearchResult
from parity.bisect.sentence import notes, sentence
from parity.errors import ExitCode
from parity.results.bisect import BisectDocument, CulpritEntry, HybridEntry


def document_of(parts: PortParts, result: SearchResult) -> BisectDocument:
    """The document of a search, without task files, training, log and seconds."""
    return BisectDocument(
        task=parts.task,
        sentence=sentence(parts, result),
        exit_code=ExitCode.HOLDS if result.port.holds and result.reference.holds else ExitCode.DOES_NOT_HOLD,
        notes=notes(parts, result),
        parts=list(parts.parts),
        culprits=[_culprit(parts, culprit) for culprit in result.culprits],
        then=[_culprit(parts, culprit) for culprit in result.then],
        made_good=[_culprit(parts, culprit) for culprit in result.made_good],
        tried=[_hybrid(keys, outcome) for keys, outcome in result.tried],
    )


def _culprit(parts: PortParts, culprit: Culprit) -> CulpritEntry:
    roots = culprit.alone.root_errors
    return CulpritEntry(
        parts=sorted(culprit.keys),
        labels=[part.label for part in parts.of(culprit.keys)],
        rung=culprit.alone.rung,
        codes=culprit.alone.codes,
        message=roots[0].message if roots else culprit.alone.reason,
        mends=None if culprit.without is None else culprit.without.holds,
    )


def _hybrid(keys: Keys, outcome: LadderOutcome) -> HybridEntry:
    return HybridEntry(
        parts=sorted(keys),
        holds=outcome.holds,
        rung=outcome.rung,
        rung_name=outcome.rung_name,
        codes=outcome.codes,
        reason=outcome.reason,
        seconds=round(outcome.seconds, 2),
    )
