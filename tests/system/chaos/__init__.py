"""`python -m tests.system.chaos`: a store and two brokers under load, with faults on a schedule; then the books."""
