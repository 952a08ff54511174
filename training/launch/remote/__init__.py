"""What runs on the far side, on an EC2 instance."""
