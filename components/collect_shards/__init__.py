"""The step ``collect_shards``."""
