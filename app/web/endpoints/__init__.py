"""The endpoints by area: each with the scope that it needs, what it takes and what it answers."""
