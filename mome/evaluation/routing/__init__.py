"""Which experts the router sends which tokens to, at each scale: counted, compared and drawn."""
