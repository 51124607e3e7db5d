"""The examples of How to for Django, FastAPI, Express and Rails, each in a small application of its framework."""
