"""The search for settings that learn better."""
