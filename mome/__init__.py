"""Speech recognition that reads lips as well, at any compression scale: all that is computed."""

__all__ = ["__version__"]

__version__ = "0.1.0"
