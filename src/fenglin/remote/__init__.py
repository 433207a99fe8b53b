"""Hosts that are reached by SSH, for every driver that has work there.

`place` says where a host is and how it proves who it is, `line` is one verified connection that is
kept, `agent` our program at its other end (`fenglin.runner.host.agent`, brought there when it is
missing), `contents` says what input files hold, `inputs` brings them by content address. All but
`contents` need the `ssh` extra; load them only for sites that have hosts. `answers` is for sites
that are asked by HTTP.
"""
