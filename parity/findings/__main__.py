"""``python -m parity.findings`` prints ``docs/rules.md``."""

import sys

from parity.findings.page import page

sys.stdout.write(page())
