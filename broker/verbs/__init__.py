"""The verbs of the store, a file a duty; `broker.store.Store` is all of them together."""
