"""A dataset, and a foundation that has learnt nothing."""

from tests.mome.conftest import dataset, foundation, train_params

__all__ = ["dataset", "foundation", "train_params"]
