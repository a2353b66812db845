"""Weeks of traffic in seconds, through the monitor's own window, test, policy and records."""
