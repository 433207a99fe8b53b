"""What runs on the cluster: sent there with every attempt, beside a copy of `runner.host`.

`place` is one place of an attempt (some slots on one node) and needs Python 3.9 alone; `boarded`
is the runner in it; `spread` deals an attempt's tasks out to several places, by Ray's own means.
None of it is imported by the hub.
"""
