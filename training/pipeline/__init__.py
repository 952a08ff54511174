"""The commands, one file each: fit, pack, package, verify, evaluate, measure. Start here."""
