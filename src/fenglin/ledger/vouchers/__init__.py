"""Vouchers (算力券): who is promised how much of a public budget, by rules that are data."""
