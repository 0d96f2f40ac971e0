"""Runs Ascend's tools: what a host has, compile, run, measure. What they print is read by ``harness.ascend``."""
