"""The embedded AWS: ministack with SageMaker and Application Auto Scaling, in one process on this machine."""
