"""Parameters that operations tune."""
