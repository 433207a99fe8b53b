"""Deterministic simulation: whole hubs, their disk, sites and users, in one thread and one seed.

What runs is the real thing: engine, planner, lifecycle, ledger, and the store's SQL over SQLite.
What is simulated is what a hub cannot choose: time, the order of things, the disk's moods, the
network, the sites, and its own death. Every choice comes from the seed, so that a run is repeated
byte for byte; `docs/explanation/simulated-days.md` tells the whole.

    virtual    the loop: order and time from the seed, processes that die and stand still
    disk       the database that outlives its hubs
    site, line what runs at a site, and the way to it
    hub        one hub process, wired as `bootstrap` wires it
    workload, users, faults    who wants what, and what goes wrong
    books, sick  vouchers, hours and budgets; jobs that the code cannot handle
    months, vault  a month that is closed while late use comes; secrets of jobs, and their keys
    metered    use that an operator imports from whoever meters it
    rules, judge, closing, footing   what must hold: in rows, at each commit, at the end
    world, run one day of all that, and what it has shown
"""
