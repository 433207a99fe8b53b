"""The grown store: PostgreSQL, several hubs, one leader."""
