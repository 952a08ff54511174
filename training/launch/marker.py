"""The line after which a job's log is Kennel's own."""

BEGIN = "kennel: the training begins"
