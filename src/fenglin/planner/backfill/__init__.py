"""Backfilling on one machine of equal processors: FCFS, EASY and conservative.

`machine` and `profile` hold what runs and what is free when; `easy` and `conservative` decide;
`nodes` says which nodes a job gets. All are kernels: plain functions over columns, which `twins`
can compile.
"""
