"""A witness: runs away from the hub, remembers what each ledger was, and signs only what grew."""
