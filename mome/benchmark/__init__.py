"""Speed as ratios: each claim of the project against the published recipe, side by side in one process."""
