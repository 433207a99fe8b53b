"""The words of the house: frozen records, one noun per file. No behaviour beyond derivation."""
