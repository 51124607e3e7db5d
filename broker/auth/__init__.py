"""Access control: tokens, their scopes and groups, and TLS."""
