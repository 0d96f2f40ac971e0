"""Starts the vendor's tools: discovery, quantising and compiling, inference, simulation."""
