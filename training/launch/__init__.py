"""Training on AWS: what ``launch`` sends there, and what it brings back.

Everything goes by boto3, whose requests are AWS's API reference, field by field. The SageMaker Python SDK 3.27 was
tried and left out, because each of its ways to start a job is in the way here:

- ``ModelTrainer`` puts shell scripts of its own (``sm_drivers``) before the container's entry point, so that AWS's
  training toolkit, which the container is made for and the embedded AWS runs, never sees the job. Its calls report to
  ``sm-pysdk-t-<region>.s3.amazonaws.com`` unless a configuration file says no, and simulate the role's policies.
- Its table of images ends at PyTorch 2.10; the container here is 2.13.
- ``sagemaker.core``'s resource classes add nothing to boto3's request of the same fields, and cost 308 MB and 3.4 s of
  CPU at every start (pandas, scipy, paramiko); the whole SDK is 731 MB. boto3 is there already, and takes 0.5 s.

Whoever has the SDK can go on with it: ``sagemaker.core.resources.TrainingJob.get(NAME)`` finds the jobs started here.
"""
