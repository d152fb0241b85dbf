"""The ladder's numbers of one framework, collected: runs, and judges nothing."""
