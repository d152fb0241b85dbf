"""``parity rules``."""

from __future__ import annotations

from parity.cli.options import Json


def rules(code: str | None = None, /, *, json: Json = False) -> int:
    """List the findings that the ladder knows, or explain one at length.

    Parameters
    ----------
    code
        A code such as PAR003. Default: all, one line each.
    json
        Print a list of objects on stdout.
    """
    import dataclasses
    import json as json_module
    import sys

    from parity.ladder.findings import RULES, rule

    shown = list(RULES.values()) if code is None else [rule(code)]
    if json:
        json_module.dump([dataclasses.asdict(each) for each in shown], sys.stdout, indent=1)
        print()
    elif code is None:
        for each in shown:
            print(f"{each.code}  {each.severity:8} {each.title}")
    else:
        (each,) = shown
        print(f"{each.code} ({each.severity}): {each.title}\n\n{each.explanation}\n")
        print(f"How it comes about: {each.origin}\n\nFix:\n    {each.fix}")
        if each.explains:
            print(f"\nMay be followed by: {', '.join(sorted(each.explains))}")
        for link in (*each.links, *([each.page] if each.page else [])):
            print(link)
    return 0
