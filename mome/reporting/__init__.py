"""Pages and figures: what steps show to people, and to run comparison."""
