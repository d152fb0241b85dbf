"""The classic control baseline, with a mask that never forbids anything."""
