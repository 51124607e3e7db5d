"""Measures a broker over HTTP: a load generator, the workloads W1 to W6, meters of CPU and memory, and tables."""
