"""The code speaks the field's words: names that only parity's own people understood stay out of it."""

from __future__ import annotations

import io
import tokenize

from rooms import modules

OLD = {
    "Numbers", "Evidence", "Sheet", "Found", "found", "Climb", "Stage", "apart", "mixture", "Conduct", "conduct", "grown",
    "reach", "strays", "drawn", "beside", "counterpart", "in_step", "listing", "worlds",
}  # fmt: skip


def test_no_name_in_the_code_is_one_of_the_old_words() -> None:
    """Options and stored fields that the contract fixes (``--climb``, ``looks``) are no part of the list."""
    used = [
        f"{path}:{token.start[0]} {token.string}"
        for module, path in modules().items()
        if module.startswith("parity.") and not module.startswith("parity.selftest.field.")  # written as users write
        for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
        if token.type == tokenize.NAME and token.string in OLD
    ]
    assert not used, used
