#!/bin/bash
# An EC2 instance that trains, and ends itself when it has, or has failed, or has taken too long.
# training/launch/ec2.py fills in what stands in braces.
trap 'shutdown -h now' EXIT
(sleep ${SECONDS_AT_MOST}; shutdown -h now) &
set -euo pipefail

# Whoever terminates the instance leaves the training the time to write its checkpoint, and the network to keep it in S3:
# this shell waits for it, and systemd tells all of cloud-init's processes, not the first alone (cloud-final.service).
trap : TERM
if [[ $$(< /proc/self/cgroup) == *cloud-final.service* ]]; then
  mkdir --parents /run/systemd/system/cloud-final.service.d
  printf '[Service]\nKillMode=control-group\nTimeoutStopSec=90\n' > /run/systemd/system/cloud-final.service.d/kennel.conf
  systemctl daemon-reload
fi

export AWS_DEFAULT_REGION=${REGION} PATH="/opt/pytorch/bin:$$PATH"   # where the Deep Learning AMI has PyTorch
if ! python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then   # a plain Amazon Linux 2023
  dnf install --quiet --assumeyes python3.12
  python3.12 -m venv /opt/pytorch
fi
python -m pip install --quiet boto3

cd "$$(mktemp --directory --tmpdir="$${TMPDIR:-/var/tmp}")"
python -c 'import sys, boto3; boto3.client("s3").download_file(*sys.argv[1:])' ${BUCKET} ${CODE} code.tar.gz
tar --extract --file code.tar.gz
python -m training.launch.remote.on_instance ${BUCKET} ${NAME}
