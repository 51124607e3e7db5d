"""The output, receipt and outcome of one job."""
