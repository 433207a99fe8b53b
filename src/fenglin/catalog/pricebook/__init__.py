"""The price book: versions of price items, how the right one is found, and how it rates."""
