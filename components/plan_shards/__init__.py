"""The step ``plan_shards``."""
