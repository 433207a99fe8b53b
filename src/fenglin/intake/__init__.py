"""Job dialects: text in, `JobSpec` out, with everything that is wrong said at once."""
