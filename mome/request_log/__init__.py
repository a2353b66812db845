"""The request log: what serving writes and monitoring reads, as files or in a database."""
