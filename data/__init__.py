"""Recordings in, validated training data out: version (DVC), prepare, validate (Great Expectations)."""
