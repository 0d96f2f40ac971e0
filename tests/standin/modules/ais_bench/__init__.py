"""Plays ais_bench where there is no Ascend device: ``python3 -m ais_bench``."""
