"""Gymnasium's Taxi: fetch a passenger and bring it to its destination; the mask stands in ``info``."""
