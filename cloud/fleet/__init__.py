"""Who may speak: the registry of stations and what the broker must know of them."""
