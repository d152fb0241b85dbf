"""``parity translate``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from parity.cli.options import Count, Json, Positive


def translate(
    file: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    env: str | None = None,
    line: Count = None,
    n_envs: Positive = None,
    exact: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Turn arguments of MaskablePPO or PPO into code that builds RLlib's PPOConfig, with what has no counterpart there.

    Parameters
    ----------
    file
        Python with a call of MaskablePPO or PPO (parsed, never run), JSON, or RL-Zoo's YAML; - reads standard input.
    env
        Which environment, where the file is keyed by them.
    line
        The line in which the call begins, where there are several.
    n_envs
        Number of environments. Default: what the file says, else 1.
    exact
        Use parity's learner and env runner, which have what PPOConfig alone cannot express.
    json
        Print one document with arguments, configuration, code and what has no counterpart.
    """
    import dataclasses
    import json as json_module

    from parity.port.translate.code import code, document
    from parity.port.translate.read import read
    from parity.port.translate.translate import translate as to_config

    given = read(file, env, line)
    if n_envs is not None:
        given = dataclasses.replace(given, values=given.values | {"n_envs": n_envs}, assumed={})
    translation = to_config(given, exact=exact)
    if json:
        print(json_module.dumps(document(translation), indent=1))
    else:
        print(code(translation), end="")
    return 0
