"""Offers of clouds: price lists read, indexed, and searched for the cheapest that will do."""
