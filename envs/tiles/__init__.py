"""Reveal an image tile by tile so that a classifier recognises it: a masked problem with a known best play."""
