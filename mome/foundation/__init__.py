"""The embedded default's own frozen models, made once from synthetic speech and text in minutes."""
