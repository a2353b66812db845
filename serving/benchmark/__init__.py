"""How much traffic a service carries: both sides in one run, as real servers with real callers."""
