"""Which experts the router sends tokens to at each scale: counted, compared and drawn."""
