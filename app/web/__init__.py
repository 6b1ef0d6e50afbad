"""Pages for people who hold a link. No scripts; every page works on a phone."""
