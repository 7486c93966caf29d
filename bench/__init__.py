"""Benchmarks: every figure against the bare operation measured in the same run."""
