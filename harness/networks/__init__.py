"""Reference networks in torch, with state-dict keys as published."""
