"""The Valkey server that a broker runs in its data folder."""
