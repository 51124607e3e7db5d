"""`python -m broker` is `titan`."""

from broker.cli import main

main(prog_name="titan")
