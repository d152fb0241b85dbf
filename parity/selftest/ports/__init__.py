"""Good ports, unusual in one way each."""
