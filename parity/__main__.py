"""``python -m parity``, where the command is not on the PATH."""

from parity.cli import main

main()
