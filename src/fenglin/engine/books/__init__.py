"""The books: what operators and tenants ask of ledger, prices, inventory and vouchers."""
