"""The web console and the reader of the description: pages for people, served by the service itself."""
