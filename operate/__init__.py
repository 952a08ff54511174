"""Commands that change an environment on AWS: deploy, roll back, sleep, wake, destroy."""
