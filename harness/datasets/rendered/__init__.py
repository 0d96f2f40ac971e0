"""Data sets of ours, drawn from a seed."""
