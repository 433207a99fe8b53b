"""Slurm's commands over the whole pool, so that habits and scripts around them go on working.

Option names, columns, headers, widths and the forms of times are those that Slurm 22.05 shows.
"""
