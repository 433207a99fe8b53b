"""The baseline inventory: what facilities declare, cross-checks, totals per precision."""
