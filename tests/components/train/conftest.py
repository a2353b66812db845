"""A dataset to train on."""

from tests.mome.conftest import dataset, foundation, train_params

__all__ = ["dataset", "foundation", "train_params"]
