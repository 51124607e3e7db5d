"""Benchmarks of this repository: they start a broker and its store, measure them and compare with a budget."""
