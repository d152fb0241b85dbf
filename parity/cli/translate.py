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
    old_stack: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Turn arguments of MaskablePPO or PPO into code that builds RLlib's PPOConfig, with what has no counterpart there.

    With --old-stack, a configuration of RLlib's old API stack instead.

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
    old_stack
        The file has a configuration of RLlib's old API stack: a dict, or calls of PPOConfig.
    json
        Print one document with arguments, configuration, code and what has no counterpart.
    """
    import dataclasses
    import json as json_module

    from parity.port.translate.code import code, document
    from parity.port.translate.read import read
    from parity.port.translate.translate import translate as to_config

    if old_stack:
        from parity.errors import CannotStart
        from parity.port.translate.old_stack import translate_old_stack

        if env is not None or line is not None or n_envs is not None or exact:
            raise CannotStart(
                "--old-stack: leave --env, --line, --n-envs and --exact out; they are of SB3's arguments."
            )
        translation = translate_old_stack(file)
        print(
            json_module.dumps(document(translation), indent=1) if json else code(translation), end="\n" if json else ""
        )
        return 0
    given = read(file, env, line)
    if n_envs is not None:
        given = dataclasses.replace(given, values=given.values | {"n_envs": n_envs}, assumed={})
    translation = to_config(given, exact=exact)
    if json:
        print(json_module.dumps(document(translation), indent=1))
    else:
        print(code(translation), end="")
    return 0
