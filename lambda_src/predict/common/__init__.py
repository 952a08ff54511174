"""What the fetch and the rest of the function share: problems, and what kind of image some bytes are."""
