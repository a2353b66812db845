"""The step ``prepare_shard``."""
