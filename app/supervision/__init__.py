"""The API as several processes: a supervisor that holds the listening sockets, and the workers that serve."""
