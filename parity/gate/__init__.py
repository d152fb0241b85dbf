"""May a release go out? A stored study against itself and against a baseline that was accepted on purpose.

Nothing here runs or imports a framework: what is gated are files.
"""
