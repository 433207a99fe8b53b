"""What runs on the machine of the tasks: the runner of one attempt, and the care of its folder.

The runner is the parent of an attempt's tasks and the keeper of their ends. It starts without
site-packages and imports only the standard library and its own siblings, relatively, so that it
is up in some 15 ms and works from any installation, also as a copy on a host that has nothing of
ours. `typing`, `signal`, `json`, `dataclasses`, `pathlib` and `contextlib` are left out of the
runner on purpose: each costs 2 to 10 ms of start per attempt. That is why rules about paths,
imports and suppression are switched off in its files.

`attempts` and `sights` are for whoever starts runners and looks after them. All of it keeps to
what Python 3.9 and Linux 5.3 have.
"""
