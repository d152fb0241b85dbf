"""``python -m parity.ladder.findings`` prints ``docs/rules.md``."""

import sys

from parity.ladder.findings.page import page

sys.stdout.write(page())
