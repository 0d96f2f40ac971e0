"""From network outputs to answers."""
