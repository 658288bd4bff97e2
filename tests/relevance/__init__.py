"""How well searches find what is meant: judged queries, and what becomes of them."""
