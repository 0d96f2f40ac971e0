"""From files to network inputs, as the guides do it."""
