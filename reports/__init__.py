"""Reads records; renders and compares them."""
