"""Samples and outputs as files, for tools that read and write folders."""
