"""The calls of the API, one method a verb; `worker.client.Client` has all of them."""
