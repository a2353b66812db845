"""The versions of every model, as `serving.registry` keeps them: which there are, and how one gets here."""
