"""What is in deploy/, linted and run as far as that goes without a container engine."""
