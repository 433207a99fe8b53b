"""Job dialects: files of other schedulers in, native documents and a list of losses out."""
