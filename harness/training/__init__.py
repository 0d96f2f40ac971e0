"""Recipes of the bundled checkpoints."""
