"""Endpoints: variants, instances that are processes of the artifact, and blue/green updates."""
