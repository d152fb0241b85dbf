"""`parity bisect`."""
