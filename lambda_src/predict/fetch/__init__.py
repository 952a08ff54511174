"""A photo behind a user's URL, fetched from the public internet alone."""
