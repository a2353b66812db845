"""Noise: add it at a stated level, make babble of voices, and estimate how much there is."""
