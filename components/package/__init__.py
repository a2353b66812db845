"""The step ``package``."""
