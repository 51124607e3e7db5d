"""What one job prints, uses and ends with."""
