"""Measuring probes: one script that runs anywhere with python3, and what it prints."""

from fenglin.probes.answer import FIGURES_FILE, ProbeAnswer, ProbeFigure, ProbeGap, read_answer
from fenglin.probes.script import SCRIPT_NAME, read_script, script_sha256

__all__ = [
    "FIGURES_FILE",
    "SCRIPT_NAME",
    "ProbeAnswer",
    "ProbeFigure",
    "ProbeGap",
    "read_answer",
    "read_script",
    "script_sha256",
]
