"""Which moves are lawful, and what an ending means. One table, pure functions."""
