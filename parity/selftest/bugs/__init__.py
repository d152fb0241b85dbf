"""The planted bugs, by where they sit."""
