"""Where models are trained: the job role, an EC2 launch template, the workbench."""
