"""What ministack lacks or does otherwise than AWS, added to its own tables."""
