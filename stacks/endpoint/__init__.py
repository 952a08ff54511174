"""The SageMaker model, endpoint and its scaling."""
