"""Readers of checkpoints that run no code."""
