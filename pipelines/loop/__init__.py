"""The loop in processes of its own: a real service, real controllers, real callers."""
