"""What simulated runs leave on disk: rows as Parquet or JSON lines, and pages with plots."""
