"""The step ``train_distributed``."""
