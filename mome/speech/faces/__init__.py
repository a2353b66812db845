"""Faces in a picture, and their landmarks, by small models that are files."""
