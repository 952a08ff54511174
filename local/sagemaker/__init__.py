"""SageMaker: the control plane, the runtime, notebooks, and what each keeps."""
