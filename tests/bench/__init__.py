"""The repository's own figures: a broker and its store, started for the purpose, measured and held to a budget."""
