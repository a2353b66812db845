"""The model registry: versions with their lineage, the champion among them, and the way back."""
