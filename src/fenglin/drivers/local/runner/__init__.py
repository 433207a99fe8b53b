"""The process that runs one attempt: parent of its tasks, keeper of their ends.

It starts without site-packages and imports only the standard library and its own siblings,
relatively, so that it is up in some 15 ms and works from any installation. `typing`, `signal`,
`json`, `dataclasses`, `pathlib` and `contextlib` are left out on purpose: each costs 2 to 10 ms
of start per attempt. That is why rules about paths, imports and suppression are switched off in
its files.
"""
