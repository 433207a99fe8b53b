"""Who may have how much: dominant shares, quotas, cohorts. Pure algebra, no job is known here."""
