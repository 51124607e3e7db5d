"""Rules for code and pages that a test can check."""
