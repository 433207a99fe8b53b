"""One program per peer: `python -m bench.peers.NAME TASKS KIND` prints seconds as JSON.

Each starts its own cluster of two slots, warms it up, and times one batch of no-op tasks from
the first submit to the last result. `KIND` is `process` (every task starts `true`) or
`function` (every task is an empty Python function in a worker that is there already).
"""
