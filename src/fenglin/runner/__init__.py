"""Attempts as folders and processes on one machine, for every driver that has them there.

`host` is what runs where the tasks are: standard library only, no import of ours, so that it can
be copied to any machine with Python 3.9. The other modules are the hub's side of the same files:
`orders` writes what a runner reads, `records` reads what it writes. An attempt folder holds:

    order          what to run, written once            claim    who runs it, taken once
    journal        starts and ends, appended            stop     grace of a stop, in ms
    control        FIFO that tells the runner to look   epoch    highest epoch seen, if raised
    INDEX.log      output of a task                     tINDEX/  folder of a task
    runner.err     what a crashed runner said           script   the job's script

After `forget` the folder moves from `attempts/` to `kept/` with claim, journal and logs.
"""
