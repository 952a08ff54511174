"""Labelled photos: where they lie, what they hold, the pixels that the model sees."""
