"""Titan's worker: a daemon that takes jobs over HTTP and runs commands. It never touches the store."""
