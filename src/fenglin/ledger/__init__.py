"""Double entry and its proof: pure functions over immutable, hash-chained entries."""
