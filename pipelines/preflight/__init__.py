"""Whether a cluster has what a run needs, before one is started."""
