"""EC2 as far as training needs it: launch templates, and instances that are processes."""
