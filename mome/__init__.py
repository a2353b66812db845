"""Speech recognition that reads lips as well, at any compression scale: all that is computed."""

from mome.loading import load

__all__ = ["__version__", "load"]

__version__ = "0.1.0"
