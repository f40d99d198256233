"""Properties: what follows from a minimum."""
