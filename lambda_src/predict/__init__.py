"""The function that answers a photo with its labels."""
