"""Does the ladder see what it must? Known bugs planted in a good port, and good ports that nobody may accuse.

``parity selftest --json --out results/selftest`` regenerates the committed outcome.
"""
