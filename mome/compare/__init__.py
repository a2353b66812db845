"""The papers' comparison in miniature: every method with the same budget, on one corpus, with intervals."""
