"""The job store: a method for each verb. It knows no HTTP."""
