"""Who may do what: tokens, scopes, TLS."""
